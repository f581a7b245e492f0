// argmax_mask, threshold_mask: a class for each pixel, -1 where its score is a NaN.
#include <cmath>

#include "decoders/arrays.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

class ArgmaxMask : public Decoder {
 public:
  explicit ArgmaxMask(DecoderOptions& options)
      : output_(options.read_name("output")), is_planar_(options.read_word("layout", "NCHW", {"NCHW", "NHWC"}) == "NCHW") {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Floats scores = read_output("argmax_mask", outputs, order, output_, {-1, -1, -1, -1});
    const std::vector<int64_t>& shape = scores.shape;
    const int64_t classes = shape[is_planar_ ? 1 : 3], height = shape[is_planar_ ? 2 : 1], width = shape[is_planar_ ? 3 : 2];
    if (classes < 2)
      refuse_part("argmax_mask", "the output", "two classes or more", describe("numbers", shape));
    const int64_t area = height * width;
    std::vector<int32_t> mask(static_cast<size_t>(shape[0] * area));
    for (int64_t sample = 0; sample < shape[0]; ++sample)
      for (int64_t pixel = 0; pixel < area; ++pixel) {
        const float* first = scores.at(sample * classes * area + (is_planar_ ? pixel : pixel * classes));
        mask[static_cast<size_t>(sample * area + pixel)] = static_cast<int32_t>(choose_largest(first, classes, is_planar_ ? area : 1));
      }
    return {{"mask", make_answer(mask, {shape[0], height, width})}};
  }

 private:
  std::optional<std::string> output_;
  bool is_planar_;
};

class ThresholdMask : public Decoder {
 public:
  explicit ThresholdMask(DecoderOptions& options)
      : output_(options.read_name("output")),
        threshold_(static_cast<float>(options.read_number("threshold", 0.5))),
        are_logits_(options.read_bool("logits", false)) {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Tensor& tensor = take_output("threshold_mask", outputs, order, output_);
    const bool has_axis = tensor.shape.size() == 4;
    const Floats scores = to_floats("threshold_mask", tensor, has_axis ? std::vector<int64_t>{-1, 1, -1, -1} : std::vector<int64_t>{-1, -1, -1});
    std::vector<int8_t> mask;
    mask.reserve(scores.values.size());
    for (const float score : scores.values) {
      const float share = are_logits_ ? apply_sigmoid(score) : score;
      mask.push_back(static_cast<int8_t>(std::isnan(share) ? -1 : share >= threshold_));
    }
    const size_t rank = scores.shape.size();
    return {{"mask", make_answer(mask, {scores.size(0), scores.size(rank - 2), scores.size(rank - 1)})}};
  }

 private:
  std::optional<std::string> output_;
  float threshold_;
  bool are_logits_;
};

}  // namespace

std::unique_ptr<Decoder> make_argmax_mask(DecoderOptions& options) { return std::make_unique<ArgmaxMask>(options); }
std::unique_ptr<Decoder> make_threshold_mask(DecoderOptions& options) { return std::make_unique<ThresholdMask>(options); }

}  // namespace edge_app
