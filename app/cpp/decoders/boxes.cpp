// boxes: the graph has made boxes and scores of its grids; the threshold and the suppression come here.
#include <algorithm>
#include <array>

#include "decoders/detections.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

class Boxes : public Decoder {
 public:
  explicit Boxes(DecoderOptions& options)
      : choice_(options),
        boxes_(options.read_text("boxes", "boxes")),
        scores_(options.read_text("scores", "scores")),
        form_(options.read_word("form", "xyxy", {"xyxy", "yxyx", "xywh", "cxcywh"})),
        scale_(static_cast<float>(options.read_number("scale", 1.0))),
        has_background_(options.read_bool("background", false)) {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Floats boxes = read_output("boxes", outputs, order, boxes_, {-1, -1, 4});
    const Floats scores = read_output("boxes", outputs, order, scores_, {boxes.size(0), boxes.size(1), -1});
    const int64_t rows = boxes.size(1), columns = scores.size(2), first = has_background_ && columns ? 1 : 0;
    std::vector<Picture> pictures(static_cast<size_t>(boxes.size(0)));
    for (int64_t index = 0; index < boxes.size(0) * rows; ++index) {
      Picture& picture = pictures[static_cast<size_t>(index / rows)];
      std::array<float, 4> box{};
      std::copy_n(boxes.at(index * 4), 4, box.begin());
      make_corners(box.data(), form_);
      for (const float side : box) picture.boxes.push_back(side * scale_);
      picture.scores.insert(picture.scores.end(), scores.at(index * columns) + first, scores.at(index * columns) + columns);
    }
    return choose_detections(pictures, columns - first, choice_);
  }

 private:
  Choice choice_;
  std::string boxes_, scores_, form_;
  float scale_;
  bool has_background_;
};

}  // namespace

std::unique_ptr<Decoder> make_boxes(DecoderOptions& options) { return std::make_unique<Boxes>(options); }

}  // namespace edge_app
