#include "picture/place.h"

#include <algorithm>
#include <cmath>

#include "tensor.h"

namespace edge_app {

void refuse_picture(const std::string& expected, const std::string& found) {
  refuse_frame("the picture is not what the sensor gives", "picture", expected, found);
}

// As toolchain/agent/measure/preprocess/place.py; nearbyint rounds half to even in the default mode, as Python's round.
Placement place_picture(const PictureSpec& spec, int64_t source_height, int64_t source_width) {
  const bool is_as_it_is = source_height == spec.height && source_width == spec.width;
  if (source_height < 1 || source_width < 1 || source_height > (1 << 16) || source_width > (1 << 16) ||
      (spec.resize == "none" && !is_as_it_is))
    refuse_picture(spec.resize == "none" ? write_shape({spec.height, spec.width}) : "sides of 1 to 65536",
                   write_shape({source_height, source_width}));
  int64_t wide = spec.width, high = spec.height;
  const double across = static_cast<double>(spec.width) / static_cast<double>(source_width);
  const double down = static_cast<double>(spec.height) / static_cast<double>(source_height);
  const auto round = [](int64_t size, double scale) {
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(size) * scale));
  };
  if (spec.resize == "letterbox") {
    const double scale = std::min(across, down);
    wide = std::min(spec.width, std::max<int64_t>(1, round(source_width, scale)));
    high = std::min(spec.height, std::max<int64_t>(1, round(source_height, scale)));
  } else if (spec.resize == "crop") {
    const double scale = std::max(across, down) / spec.crop_share;
    wide = std::max(spec.width, round(source_width, scale));
    high = std::max(spec.height, round(source_height, scale));
  }
  const auto begin = [](int64_t size, int64_t inside) { return inside <= size ? (size - inside) / 2 : -((inside - size) / 2); };
  return {begin(spec.width, wide), begin(spec.height, high), wide, high, source_width, source_height};
}

std::array<float, 4> Placement::restore(const std::array<float, 4>& box) const {
  std::array<float, 4> restored{};
  for (size_t side = 0; side < 4; ++side) {
    const bool is_x = side % 2 == 0;
    const auto source = static_cast<double>(is_x ? source_width : source_height);
    const double fraction = source / static_cast<double>(is_x ? width : height);
    const double value = (static_cast<double>(box[side]) - static_cast<double>(is_x ? left : top)) * fraction;
    restored[side] = static_cast<float>(std::isnan(value) ? value : std::clamp(value, 0.0, source));
  }
  return restored;
}

}  // namespace edge_app
