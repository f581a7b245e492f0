// detections: the graph has chosen already; what is padded goes.
#include <algorithm>
#include <array>
#include <cmath>

#include "decoders/detections.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

constexpr const char* kName = "detections";
constexpr double kClassMax = 4611686018427387904.0;  // 2^62, beyond which a number is no class

struct Rows {
  Floats boxes, scores;
  std::vector<double> classes;
};

class Detections : public Decoder {
 public:
  explicit Detections(DecoderOptions& options)
      : boxes_(options.read_text("boxes", "boxes")),
        scores_(options.read_text("scores", "scores")),
        classes_(options.read_text("classes", "classes")),
        count_(options.read_name("count")),
        joined_(options.read_name("joined")),
        form_(options.read_word("form", "xyxy", {"xyxy", "yxyx", "xywh", "cxcywh"})),
        scale_(static_cast<float>(options.read_number("scale", 1.0))),
        threshold_(static_cast<float>(options.read_number("threshold", 0.0))),
        clip_(read_clip(options)) {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Rows rows = joined_ ? read_joined(outputs, order) : read_three(outputs, order);
    const int64_t samples = rows.boxes.size(0), length = rows.boxes.size(1);
    const std::vector<double> counts = read_counts(outputs, order, samples, length);
    Chosen chosen;
    for (int64_t sample = 0; sample < samples; ++sample) {
      for (int64_t row = 0; row < length; ++row) {
        const int64_t index = sample * length + row;
        const float score = *rows.scores.at(index);
        if (!(score > threshold_) || !(static_cast<double>(row) < counts[static_cast<size_t>(sample)])) continue;
        std::array<float, 4> box{};
        std::copy_n(rows.boxes.at(index * 4), 4, box.begin());
        make_corners(box.data(), form_);
        for (float& side : box) side *= scale_;
        clip_box(box.data(), clip_);
        const double number = rows.classes[static_cast<size_t>(index)];
        chosen.add(box.data(), score, std::abs(number) < kClassMax ? static_cast<int64_t>(number) : -1);
      }
      chosen.end_picture();
    }
    return chosen.make_answers();
  }

 private:
  Rows read_joined(const Outputs& outputs, const std::vector<std::string>& order) const {
    const Floats joined = read_output(kName, outputs, order, joined_, {-1, -1, 6});
    const int64_t samples = joined.size(0), length = joined.size(1);
    Rows rows{{{samples, length, 4}, {}}, {{samples, length}, {}}, {}};
    for (int64_t index = 0; index < samples * length; ++index) {
      const float* row = joined.at(index * 6);
      rows.boxes.values.insert(rows.boxes.values.end(), row, row + 4);
      rows.scores.values.push_back(row[4]);
      rows.classes.push_back(static_cast<double>(row[5]));
    }
    return rows;
  }

  Rows read_three(const Outputs& outputs, const std::vector<std::string>& order) const {
    Tensor boxes = take_output(kName, outputs, order, boxes_), scores = take_output(kName, outputs, order, scores_);
    Tensor classes = take_output(kName, outputs, order, classes_);
    if (boxes.shape.size() == 2)  // of one picture, as torchvision exports its detectors
      for (Tensor* tensor : {&boxes, &scores, &classes}) tensor->shape.insert(tensor->shape.begin(), 1);
    Rows rows{to_floats(kName, boxes, {-1, -1, 4}), {}, {}};
    rows.scores = to_floats(kName, scores, {rows.boxes.size(0), rows.boxes.size(1)});
    to_floats(kName, classes, {rows.boxes.size(0), rows.boxes.size(1)});
    for (int64_t index = 0; index < rows.boxes.size(0) * rows.boxes.size(1); ++index)
      rows.classes.push_back(read_number(classes.dtype, classes.bytes.data(), index));
    return rows;
  }

  std::vector<double> read_counts(const Outputs& outputs, const std::vector<std::string>& order, int64_t samples, int64_t length) const {
    std::vector<double> counts(static_cast<size_t>(samples), static_cast<double>(length));
    if (!count_) return counts;
    const Tensor& tensor = take_output(kName, outputs, order, count_);
    if (count_numbers(tensor.shape) != samples || tensor.dtype == "bool")
      refuse_part(kName, "the output " + *count_, std::to_string(samples) + " counts", describe(tensor.dtype, tensor.shape));
    for (int64_t sample = 0; sample < samples; ++sample)
      counts[static_cast<size_t>(sample)] = read_number(tensor.dtype, tensor.bytes.data(), sample);
    return counts;
  }

  std::string boxes_, scores_, classes_;
  std::optional<std::string> count_, joined_;
  std::string form_;
  float scale_, threshold_;
  std::vector<int64_t> clip_;
};

}  // namespace

std::unique_ptr<Decoder> make_detections(DecoderOptions& options) { return std::make_unique<Detections>(options); }

}  // namespace edge_app
