#include "golden/levels.h"

#include <algorithm>

#include "tensor.h"

namespace edge_app {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Code::kMalformed, "a golden array does not fit its levels", where, expected, found, "write the bundle again");
}

}  // namespace

std::string find_levels_path(const std::string& path) {
  const std::string end = ".npy";
  const bool is_npy = path.size() > end.size() && path.compare(path.size() - end.size(), end.size(), end) == 0;
  return (is_npy ? path.substr(0, path.size() - end.size()) : path) + ".levels.npy";
}

Tensor expand_levels(const Tensor& numbers, const Tensor& levels, const std::string& where) {
  const std::vector<int64_t>&from = numbers.shape, &axes = levels.shape;
  bool fits = numbers.dtype == "uint8" && !axes.empty() && from.size() == axes.size() && axes.back() >= 1 && axes.back() <= 256;
  std::vector<int64_t> shape = from;
  // Levels have an axis for each of the row, and one of their own; 1 is the same all along, on either side.
  for (size_t axis = 1; fits && axis < from.size(); ++axis) {
    const int64_t own = axes[axis - 1];
    fits = own == from[axis] || own == 1 || from[axis] == 1;
    shape[axis] = own == 1 ? from[axis] : own;
  }
  if (!fits) refuse(where, "uint8 numbers, and up to 256 levels along their axes", write_shape(from) + " and " + write_shape(axes));
  const size_t size = count_bytes(levels.dtype);
  const int64_t count = count_numbers(shape);
  Tensor expanded{levels.dtype, shape, std::vector<uint8_t>(static_cast<size_t>(count) * size)};
  std::vector<int64_t> at(shape.size(), 0);
  for (int64_t index = 0; index < count; ++index) {
    int64_t number = from.empty() ? 0 : at[0], level = 0;
    for (size_t axis = 1; axis < shape.size(); ++axis) {
      number = number * from[axis] + (from[axis] == 1 ? 0 : at[axis]);
      level = level * axes[axis - 1] + (axes[axis - 1] == 1 ? 0 : at[axis]);
    }
    const int64_t which = numbers.bytes[static_cast<size_t>(number)];
    if (which >= axes.back()) refuse(where, "numbers below " + std::to_string(axes.back()), std::to_string(which));
    const uint8_t* value = levels.bytes.data() + static_cast<size_t>(level * axes.back() + which) * size;
    std::copy(value, value + size, expanded.bytes.data() + static_cast<size_t>(index) * size);
    for (size_t axis = shape.size(); axis-- > 0 && ++at[axis] == shape[axis] && axis > 0;) at[axis] = 0;
  }
  return expanded;
}

}  // namespace edge_app
