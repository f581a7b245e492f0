// yolo: raw grids, in which each cell says where its boxes are, by anchors (v3, v5) or without (x).
#include <cmath>

#include "decoders/grids.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

constexpr const char* kName = "yolo";

class Yolo : public Decoder {
 public:
  explicit Yolo(DecoderOptions& options)
      : choice_(options),
        strides_(options.read_integers("strides")),
        anchors_(options.read_rows("anchors")),
        classes_(options.read_integer("classes", 0)),
        formula_(options.read_word("formula", "v5", {"v3", "v5", "x"})),
        has_objectness_(options.read_bool("objectness", true)),
        is_activated_(options.read_bool("activated", false)),
        outputs_(options.read_names("outputs")) {
    options.require(!strides_.empty() && classes_ >= 1, "strides of each output, and how many classes there are");
    for (const int64_t stride : strides_) options.require(stride >= 1, "strides of 1 or more");
    options.require(anchors_.size() == (formula_ == "x" ? 0 : strides_.size()), "anchors of each output, and none for x");
    for (const auto& flat : anchors_) options.require(!flat.empty() && flat.size() % 2 == 0, "anchors: width, height, ...");
    options.require(outputs_.empty() || outputs_.size() == strides_.size(), "a stride for each output");
  }

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const std::vector<std::string> names = choose_outputs(kName, outputs, order, outputs_, strides_.size(), false);
    std::vector<Picture> pictures;
    for (size_t index = 0; index < names.size(); ++index) read_grid(outputs, order, names[index], index, pictures);
    return choose_detections(pictures, classes_, choice_);
  }

 private:
  void read_grid(const Outputs& outputs, const std::vector<std::string>& order, const std::string& name, size_t index,
                 std::vector<Picture>& pictures) const {
    const auto side = static_cast<double>(strides_[index]);
    const std::vector<double> flat = anchors_.empty() ? std::vector<double>{side, side} : anchors_[index];
    const auto anchors = static_cast<int64_t>(flat.size() / 2);
    const int64_t numbers = 4 + (has_objectness_ ? 1 : 0) + classes_;
    // (n, anchors, height, width, numbers), or (n, anchors * numbers, height, width).
    const bool is_last = take_output(kName, outputs, order, name).shape.size() == 5;
    const Floats grid = read_output(kName, outputs, order, name,
                                    is_last ? std::vector<int64_t>{-1, anchors, -1, -1, numbers} : std::vector<int64_t>{-1, anchors * numbers, -1, -1});
    const int64_t width = grid.size(3), cells = grid.size(2) * width;
    if (!cells) refuse_part(kName, "the output " + name, "a grid with cells", describe("numbers", grid.shape));
    pictures.resize(static_cast<size_t>(grid.size(0)));
    std::vector<float> row(static_cast<size_t>(numbers));
    for (int64_t box = 0; box < grid.size(0) * anchors * cells; ++box) {
      const int64_t anchor = box / cells % anchors, cell = box % cells;
      for (int64_t number = 0; number < numbers; ++number)
        row[static_cast<size_t>(number)] = *grid.at(is_last ? box * numbers + number : (box / cells * numbers + number) * cells + cell);
      const float size[] = {static_cast<float>(flat[static_cast<size_t>(anchor * 2)]), static_cast<float>(flat[static_cast<size_t>(anchor * 2 + 1)])};
      add_box(pictures[static_cast<size_t>(box / cells / anchors)], row.data(), static_cast<float>(cell % width),
              static_cast<float>(cell / width), static_cast<float>(strides_[index]), size);
    }
  }

  void add_box(Picture& picture, float* row, float x, float y, float stride, const float* anchor) const {
    const auto middle = [&](float cell, float number) {
      if (formula_ == "v5") return (cell - 0.5F + 2 * apply_sigmoid(number)) * stride;
      return (cell + (formula_ == "x" ? number : apply_sigmoid(number))) * stride;
    };
    const auto size = [&](float side, float number) {
      const float doubled = 2 * apply_sigmoid(number);
      return side * (formula_ == "v5" ? doubled * doubled : std::exp(number));
    };
    add_middle_and_size(picture.boxes, middle(x, row[0]), middle(y, row[1]), size(anchor[0], row[2]), size(anchor[1], row[3]));
    const int64_t count = classes_ + (has_objectness_ ? 1 : 0);
    for (int64_t index = 4; index < 4 + count && !is_activated_; ++index) row[index] = apply_sigmoid(row[index]);
    for (int64_t label = 0; label < classes_; ++label) picture.scores.push_back(has_objectness_ ? row[4] * row[5 + label] : row[4 + label]);
  }

  Choice choice_;
  std::vector<int64_t> strides_;
  std::vector<std::vector<double>> anchors_;
  int64_t classes_;
  std::string formula_;
  bool has_objectness_, is_activated_;
  std::vector<std::string> outputs_;
};

}  // namespace

std::unique_ptr<Decoder> make_yolo(DecoderOptions& options) { return std::make_unique<Yolo>(options); }

}  // namespace edge_app
