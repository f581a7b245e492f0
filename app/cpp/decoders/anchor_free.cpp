// anchor_free: each cell says how far its box reaches (ltrb, dfl), or the graph has made boxes of it (cxcywh).
#include <array>
#include <cmath>

#include "decoders/grids.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

constexpr const char* kName = "anchor_free";

class AnchorFree : public Decoder {
 public:
  explicit AnchorFree(DecoderOptions& options)
      : choice_(options),
        classes_(options.read_integer("classes", 0)),
        bins_(options.read_integer("bins", 16)),
        form_(options.read_word("form", "cxcywh", {"ltrb", "dfl", "cxcywh"})),
        strides_(options.read_integers("strides")),
        is_exponential_(options.read_bool("exponential", false)),
        has_centerness_(options.read_bool("centerness", false)),
        is_activated_(options.read_bool("activated", true)),
        outputs_(options.read_names("outputs")) {
    options.require(classes_ >= 1 && bins_ >= 2, "how many classes there are, and 2 bins or more");
    options.require((form_ == "cxcywh") == strides_.empty(), "strides of each output, and none of cxcywh");
    for (const int64_t stride : strides_) options.require(stride >= 1, "strides of 1 or more");
    options.require(outputs_.empty() || outputs_.size() == count_outputs(), "a stride for each output");
  }

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const std::vector<std::string> names = choose_outputs(kName, outputs, order, outputs_, count_outputs(), strides_.empty());
    std::vector<Picture> pictures;
    for (size_t index = 0; index < names.size(); ++index) read_one(outputs, order, names[index], index, pictures);
    return choose_detections(pictures, classes_, choice_);
  }

 private:
  size_t count_outputs() const { return strides_.empty() ? 1 : strides_.size(); }

  void read_one(const Outputs& outputs, const std::vector<std::string>& order, const std::string& name, size_t index,
                std::vector<Picture>& pictures) const {
    const int64_t places = form_ == "dfl" ? 4 * bins_ : 4, numbers = places + classes_ + (has_centerness_ ? 1 : 0);
    const bool has_cells = form_ != "cxcywh";
    const Floats grid = read_output(kName, outputs, order, name,
                                    has_cells ? std::vector<int64_t>{-1, numbers, -1, -1} : std::vector<int64_t>{-1, numbers, -1});
    const int64_t width = has_cells ? grid.size(3) : 1, rows = has_cells ? grid.size(2) * width : grid.size(2);
    pictures.resize(static_cast<size_t>(grid.size(0)));
    std::vector<float> row(static_cast<size_t>(numbers));
    for (int64_t sample = 0; sample < grid.size(0); ++sample)
      for (int64_t cell = 0; cell < rows; ++cell) {
        for (int64_t number = 0; number < numbers; ++number)
          row[static_cast<size_t>(number)] = *grid.at((sample * numbers + number) * rows + cell);
        Picture& picture = pictures[static_cast<size_t>(sample)];
        if (has_cells) {
          const auto stride = static_cast<float>(strides_[index]);
          std::array<float, 4> distances = measure_distances(row.data());
          for (float& distance : distances) distance *= stride;
          add_distances(picture.boxes, (static_cast<float>(cell % width) + 0.5F) * stride, (static_cast<float>(cell / width) + 0.5F) * stride,
                        distances.data());
        } else {
          add_middle_and_size(picture.boxes, row[0], row[1], row[2], row[3]);
        }
        add_scores(picture.scores, row.data() + places);
      }
  }

  void add_scores(std::vector<float>& scores, float* row) const {
    const int64_t count = classes_ + (has_centerness_ ? 1 : 0);
    for (int64_t index = 0; index < count && !is_activated_; ++index) row[index] = apply_sigmoid(row[index]);
    for (int64_t label = 0; label < classes_; ++label) scores.push_back(has_centerness_ ? std::sqrt(row[label] * row[classes_]) : row[label]);
  }

  // In strides.
  std::array<float, 4> measure_distances(float* row) const {
    std::array<float, 4> distances{};
    for (int64_t side = 0; side < 4; ++side) {
      float& distance = distances[static_cast<size_t>(side)];
      if (form_ == "dfl") {
        float* shares = row + side * bins_;
        apply_softmax(shares, bins_);
        for (int64_t bin = 0; bin < bins_; ++bin) distance += shares[bin] * static_cast<float>(bin);
      } else {
        distance = is_exponential_ ? std::exp(row[side]) : row[side];
      }
    }
    return distances;
  }

  Choice choice_;
  int64_t classes_, bins_;
  std::string form_;
  std::vector<int64_t> strides_;
  bool is_exponential_, has_centerness_, is_activated_;
  std::vector<std::string> outputs_;
};

}  // namespace

std::unique_ptr<Decoder> make_anchor_free(DecoderOptions& options) { return std::make_unique<AnchorFree>(options); }

}  // namespace edge_app
