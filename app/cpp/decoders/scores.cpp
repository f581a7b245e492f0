// softmax, sigmoid: scores of classes (n, classes), or (n, classes, 1, 1), as shares.
#include "decoders/arrays.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

class Scores : public Decoder {
 public:
  Scores(DecoderOptions& options, bool is_softmax)
      : output_(options.read_name("output")), name_(is_softmax ? "softmax" : "sigmoid"), is_softmax_(is_softmax) {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Tensor& tensor = take_output(name_, outputs, order, output_);
    const std::vector<int64_t>& shape = tensor.shape;
    if (tensor.dtype.rfind("float", 0) != 0 || shape.size() < 2 || shape[1] < 1 || count_numbers(shape) != shape[0] * shape[1])
      refuse_part(name_, "the output", "floats of shape (n, classes)", describe(tensor.dtype, shape));
    Floats scores = to_floats(name_, tensor, shape);
    if (is_softmax_)
      for (int64_t row = 0; row < shape[0]; ++row) apply_softmax(scores.values.data() + row * shape[1], shape[1]);
    else
      for (float& value : scores.values) value = apply_sigmoid(value);
    return {{"scores", make_answer(scores.values, {shape[0], shape[1]})}};
  }

 private:
  std::optional<std::string> output_;
  std::string name_;
  bool is_softmax_;
};

}  // namespace

std::unique_ptr<Decoder> make_softmax(DecoderOptions& options) { return std::make_unique<Scores>(options, true); }
std::unique_ptr<Decoder> make_sigmoid(DecoderOptions& options) { return std::make_unique<Scores>(options, false); }

}  // namespace edge_app
