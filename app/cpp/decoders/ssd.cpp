// ssd: boxes as differences from priors, in their variances, and scores of which the first is background.
#include <algorithm>
#include <array>
#include <cmath>

#include "decoders/grids.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

constexpr const char* kName = "ssd";
// As torchvision's bbox_xform_clip.
const float kSizeMax = static_cast<float>(std::log(1000.0 / 16));

// Of SSD512 there are 24,564; what a manifest must not do is take all memory.
constexpr int64_t kPriorsMax = 1 << 20;

using Prior = std::array<float, 4>;

// What priors are made of: of each grid, cell by cell, its shapes (torchvision's DefaultBoxGenerator).
struct Grids {
  explicit Grids(DecoderOptions& options)
      : size(options.read_integers("size")),
        grids(options.read_integer_rows("grids")),
        scales(options.read_numbers("scales")),
        ratios(options.read_rows("ratios")) {}

  bool is_given() const { return !(size.empty() && grids.empty() && scales.empty() && ratios.empty()); }

  bool is_whole() const {
    const auto is_pair = [](const std::vector<int64_t>& pair) { return pair.size() == 2 && pair[0] >= 1 && pair[1] >= 1; };
    const auto are_positive = [](const std::vector<double>& row) {
      return std::all_of(row.begin(), row.end(), [](double ratio) { return ratio > 0; });
    };
    return is_pair(size) && std::all_of(grids.begin(), grids.end(), is_pair) &&
           std::all_of(ratios.begin(), ratios.end(), are_positive) && scales.size() == grids.size() + 1 && ratios.size() == grids.size();
  }

  bool is_small() const {
    int64_t count = 0;
    for (size_t index = 0; index < grids.size() && count <= kPriorsMax; ++index)
      count += std::min(grids[index][0], kPriorsMax) * std::min(grids[index][1], kPriorsMax) * static_cast<int64_t>(2 + 2 * ratios[index].size());
    return count <= kPriorsMax;
  }

  std::vector<Prior> make_priors() const {
    std::vector<Prior> priors;
    const auto height = static_cast<double>(size[0]), width = static_cast<double>(size[1]);
    for (size_t index = 0; index < grids.size(); ++index) {
      const double scale = scales[index], between = std::sqrt(scale * scales[index + 1]);
      std::vector<std::array<double, 2>> shapes = {{scale, scale}, {between, between}};
      for (const double ratio : ratios[index]) {
        const double wide = scale * std::sqrt(ratio), high = scale / std::sqrt(ratio);
        shapes.push_back({wide, high});
        shapes.push_back({high, wide});
      }
      const int64_t rows = grids[index][0], columns = grids[index][1];
      for (int64_t cell = 0; cell < rows * columns; ++cell)
        for (const auto& shape : shapes) {
          const double x = (static_cast<double>(cell % columns) + 0.5) / static_cast<double>(columns);
          const double y = (static_cast<double>(cell / columns) + 0.5) / static_cast<double>(rows);
          // A prior is no larger than the picture.
          const double wide = std::clamp(shape[0], 0.0, 1.0), high = std::clamp(shape[1], 0.0, 1.0);
          priors.push_back({static_cast<float>(x * width), static_cast<float>(y * height), static_cast<float>(wide * width),
                            static_cast<float>(high * height)});
        }
    }
    return priors;
  }

  std::vector<int64_t> size;
  std::vector<std::vector<int64_t>> grids;
  std::vector<double> scales;
  std::vector<std::vector<double>> ratios;
};

class Ssd : public Decoder {
 public:
  explicit Ssd(DecoderOptions& options)
      : choice_(options),
        boxes_(options.read_text("boxes", "boxes")),
        scores_(options.read_text("scores", "scores")),
        variances_(options.read_numbers("variances", {0.1, 0.1, 0.2, 0.2})),
        is_activated_(options.read_bool("activated", false)) {
    const std::vector<std::vector<double>> rows = options.read_rows("priors");
    const Grids grids(options);
    options.require(variances_.size() == 4, "four variances");
    options.require(rows.empty() == grids.is_given(), "either priors, or size, grids, scales and ratios");
    options.require(!grids.is_given() || grids.is_whole(), "size and each grid a height and a width, a scale more than grids, ratios above 0");
    options.require(!grids.is_given() || grids.is_small(), "a million priors at most");
    for (const auto& row : rows) {
      options.require(row.size() == 4, "priors of four numbers");
      Prior prior{};
      std::transform(row.begin(), row.end(), prior.begin(), [](double number) { return static_cast<float>(number); });
      priors_.push_back(prior);
    }
    if (grids.is_given()) priors_ = grids.make_priors();
  }

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const auto count = static_cast<int64_t>(priors_.size());
    const Floats moved = read_output(kName, outputs, order, boxes_, {-1, count, 4});
    Floats scores = read_output(kName, outputs, order, scores_, {moved.size(0), count, -1});
    const int64_t columns = scores.size(2), classes = std::max<int64_t>(columns - 1, 0);
    std::vector<Picture> pictures(static_cast<size_t>(moved.size(0)));
    for (int64_t row = 0; row < moved.size(0) * count; ++row) {
      Picture& picture = pictures[static_cast<size_t>(row / count)];
      add_box(picture.boxes, moved.at(row * 4), priors_[static_cast<size_t>(row % count)]);
      float* shares = scores.values.data() + row * columns;
      if (!is_activated_) apply_softmax(shares, columns);
      picture.scores.insert(picture.scores.end(), shares + (columns - classes), shares + columns);
    }
    return choose_detections(pictures, classes, choice_);
  }

 private:
  void add_box(std::vector<float>& boxes, const float* numbers, const Prior& prior) const {
    std::array<float, 4> box{};
    for (size_t side = 0; side < 4; ++side) box[side] = numbers[side] * static_cast<float>(variances_[side]);
    for (size_t axis = 0; axis < 2; ++axis) {
      box[axis] = prior[axis] + box[axis] * prior[axis + 2];
      const float size = box[axis + 2];
      box[axis + 2] = prior[axis + 2] * std::exp(size > kSizeMax ? kSizeMax : size);
    }
    add_middle_and_size(boxes, box[0], box[1], box[2], box[3]);
  }

  Choice choice_;
  std::string boxes_, scores_;
  std::vector<double> variances_;
  bool is_activated_;
  std::vector<Prior> priors_;
};

}  // namespace

std::unique_ptr<Decoder> make_ssd(DecoderOptions& options) { return std::make_unique<Ssd>(options); }

}  // namespace edge_app
