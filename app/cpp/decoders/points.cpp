// points, heat_maps: x, y and score of each key point, and the mean score of each sample.
#include <algorithm>
#include <cmath>
#include <limits>

#include "decoders/arrays.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

Answers make_points_answers(const std::vector<float>& found, int64_t samples, int64_t points) {
  std::vector<float> means;
  for (int64_t sample = 0; sample < samples; ++sample) {
    float sum = 0;
    for (int64_t point = 0; point < points; ++point) sum += found[static_cast<size_t>((sample * points + point) * 3 + 2)];
    means.push_back(sum / static_cast<float>(points));
  }
  return {{"points", make_answer(found, {samples, points, 3})}, {"scores", make_answer(means, {samples})}};
}

class Points : public Decoder {
 public:
  explicit Points(DecoderOptions& options) : output_(options.read_name("output")), scale_(options.read_numbers("scale", {1.0, 1.0})) {
    options.require(scale_.size() == 2, "scale of x and of y");
  }

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Tensor& tensor = take_output("points", outputs, order, output_);
    const std::vector<int64_t>& shape = tensor.shape;
    const bool is_flat = shape.size() == 2 && shape[1] > 0 && shape[1] % 2 == 0;
    if (!is_flat && (shape.size() != 3 || shape[1] < 1 || (shape[2] != 2 && shape[2] != 3)))
      refuse_part("points", "the output", "shape (n, points, 2 or 3) or (n, 2 * points)", describe(tensor.dtype, shape));
    const Floats numbers = to_floats("points", tensor, shape);
    const int64_t points = is_flat ? shape[1] / 2 : shape[1], width = is_flat ? 2 : shape[2];
    std::vector<float> found;
    for (int64_t index = 0; index < shape[0] * points; ++index) {
      const float* row = numbers.at(index * width);
      for (size_t axis = 0; axis < 2; ++axis) found.push_back(row[axis] * static_cast<float>(scale_[axis]));
      found.push_back(width == 3 ? row[2] : 1.0F);
    }
    return make_points_answers(found, shape[0], points);
  }

 private:
  std::optional<std::string> output_;
  std::vector<double> scale_;
};

// A NaN stays one, as numpy's sign has it.
double find_sign(float value) { return std::isnan(value) ? static_cast<double>(value) : static_cast<double>((value > 0) - (value < 0)); }

class HeatMaps : public Decoder {
 public:
  explicit HeatMaps(DecoderOptions& options)
      : output_(options.read_name("output")), stride_(options.read_number("stride", 4.0)), share_(options.read_bool("quarter", true) ? 0.25 : 0.0) {
    options.require(stride_ > 0, "a stride above 0");
  }

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const Floats maps = read_output("heat_maps", outputs, order, output_, {-1, -1, -1, -1});
    const int64_t height = maps.size(2), width = maps.size(3), area = height * width;
    if (area * maps.size(1) == 0) refuse_part("heat_maps", "the output", "heat maps with cells", describe("numbers", maps.shape));
    std::vector<float> found;
    for (int64_t index = 0; index < maps.size(0) * maps.size(1); ++index) {
      const float* map = maps.at(index * area);
      const int64_t highest = choose_largest(map, area);
      if (highest < 0) {
        found.insert(found.end(), 3, std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      const int64_t row = highest / width, column = highest % width;
      const double x = static_cast<double>(column) + find_move(map + row * width, 1, column, width);
      const double y = static_cast<double>(row) + find_move(map + column, width, row, height);
      found.insert(found.end(), {static_cast<float>(x * stride_), static_cast<float>(y * stride_), map[highest]});
    }
    return make_points_answers(found, maps.size(0), maps.size(1));
  }

 private:
  // Towards the higher neighbour of a cell in a line; at its ends a point stays, unless what is there are no numbers.
  double find_move(const float* line, int64_t step, int64_t place, int64_t size) const {
    const float after = line[std::min(place + 1, size - 1) * step], before = line[std::max<int64_t>(place - 1, 0) * step];
    return share_ * find_sign(after - before) * (place > 0 && place < size - 1 ? 1 : 0);
  }

  std::optional<std::string> output_;
  double stride_, share_;
};

}  // namespace

std::unique_ptr<Decoder> make_points(DecoderOptions& options) { return std::make_unique<Points>(options); }
std::unique_ptr<Decoder> make_heat_maps(DecoderOptions& options) { return std::make_unique<HeatMaps>(options); }

}  // namespace edge_app
