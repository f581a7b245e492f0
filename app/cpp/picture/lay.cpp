#include "picture/lay.h"

#include <algorithm>
#include <vector>

namespace edge_app {
namespace {

struct Neighbours {
  int64_t first, second;
  int32_t weight;
};

// As toolchain/agent/measure/preprocess/resize.py.
Neighbours find_neighbours(int64_t index, int64_t source, int64_t size) {
  const int64_t unit = 2 * size;
  const int64_t at = std::clamp<int64_t>((2 * index + 1) * source - size, 0, unit * (source - 1));
  const int64_t first = at / unit;
  return {first, std::min(first + 1, source - 1),
          static_cast<int32_t>(((at - first * unit) * 2048 * 2 + unit) / (2 * unit))};
}

}  // namespace

Tensor lay_picture(const PictureSpec& spec, const uint8_t* picture, const Placement& at) {
  const int64_t channels = spec.channels;
  const bool is_planar = spec.layout == "NCHW";
  Tensor tensor{spec.type, is_planar ? std::vector<int64_t>{1, channels, spec.height, spec.width}
                                     : std::vector<int64_t>{1, spec.height, spec.width, channels},
                std::vector<uint8_t>(static_cast<size_t>(channels * spec.height * spec.width), spec.fill)};
  std::vector<Neighbours> columns;
  for (int64_t x = 0; x < spec.width; ++x) columns.push_back(find_neighbours(x - at.left, at.source_width, at.width));
  for (int64_t y = std::max<int64_t>(0, at.top); y < std::min(spec.height, at.top + at.height); ++y) {
    const Neighbours row = find_neighbours(y - at.top, at.source_height, at.height);
    const uint8_t* upper = picture + row.first * at.source_width * channels;
    const uint8_t* lower = picture + row.second * at.source_width * channels;
    for (int64_t x = std::max<int64_t>(0, at.left); x < std::min(spec.width, at.left + at.width); ++x) {
      const Neighbours& column = columns[static_cast<size_t>(x)];
      for (int64_t c = 0; c < channels; ++c) {
        const auto across = [&](const uint8_t* line) {
          return line[column.first * channels + c] * (2048 - column.weight) + line[column.second * channels + c] * column.weight;
        };
        const int32_t summed = across(upper) * (2048 - row.weight) + across(lower) * row.weight;
        const int64_t place = is_planar ? (c * spec.height + y) * spec.width + x : (y * spec.width + x) * channels + c;
        tensor.bytes[static_cast<size_t>(place)] = static_cast<uint8_t>((summed + (1 << 21)) >> 22);
      }
    }
  }
  return tensor;
}

}  // namespace edge_app
