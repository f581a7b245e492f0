#include "decoders/arrays.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace edge_app {
namespace {

// binary16 of IEEE 754, which C++17 has no type for.
float widen_half(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const float sign = bits & 0x8000 ? -1.0F : 1.0F;
  if (exponent == 31) return fraction ? std::numeric_limits<float>::quiet_NaN() : sign * std::numeric_limits<float>::infinity();
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

template <typename Number>
Number read_as(const void* data, int64_t index) {
  Number number;
  std::memcpy(&number, static_cast<const uint8_t*>(data) + static_cast<size_t>(index) * sizeof(Number), sizeof(Number));
  return number;
}

// One at a time to its float32: a wide integer is rounded once, as numpy does.
template <typename Wanted>
Wanted convert(const std::string& dtype, const void* data, int64_t index) {
  if (dtype == "float32") return static_cast<Wanted>(read_as<float>(data, index));
  if (dtype == "float64") return static_cast<Wanted>(read_as<double>(data, index));
  if (dtype == "float16") return static_cast<Wanted>(widen_half(read_as<uint16_t>(data, index)));
  if (dtype == "int8") return static_cast<Wanted>(read_as<int8_t>(data, index));
  if (dtype == "uint8" || dtype == "bool") return static_cast<Wanted>(read_as<uint8_t>(data, index));
  if (dtype == "int16") return static_cast<Wanted>(read_as<int16_t>(data, index));
  if (dtype == "uint16") return static_cast<Wanted>(read_as<uint16_t>(data, index));
  if (dtype == "int32") return static_cast<Wanted>(read_as<int32_t>(data, index));
  if (dtype == "uint32") return static_cast<Wanted>(read_as<uint32_t>(data, index));
  if (dtype == "int64") return static_cast<Wanted>(read_as<int64_t>(data, index));
  return static_cast<Wanted>(read_as<uint64_t>(data, index));
}

}  // namespace

void refuse_part(const std::string& decoder, const std::string& where, const std::string& expected, const std::string& found,
                 const std::string& fix) {
  throw Error(Code::kMalformed, "the decoder " + decoder + " cannot read " + where, where, expected, found, fix);
}

std::string describe(const std::string& dtype, const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + (size < 0 ? "any" : std::to_string(size));
  return dtype + " of shape (" + text + ")";
}

const Tensor& take_output(const std::string& decoder, const Outputs& outputs, const std::vector<std::string>& order,
                          const std::optional<std::string>& name) {
  const std::string wanted = name ? *name : order.empty() ? "" : order.front();
  const auto found = outputs.find(wanted);
  if (found == outputs.end())
    refuse_part(decoder, "the outputs", wanted.empty() ? "at least one" : wanted, std::to_string(outputs.size()) + " others");
  const Tensor& tensor = found->second;
  const size_t size = count_bytes(tensor.dtype);
  if (!size || tensor.bytes.size() != static_cast<size_t>(count_numbers(tensor.shape)) * size)
    refuse_part(decoder, wanted, describe(tensor.dtype, tensor.shape), std::to_string(tensor.bytes.size()) + " bytes");
  return tensor;
}

Floats to_floats(const std::string& decoder, const Tensor& tensor, const std::vector<int64_t>& shape) {
  bool fits = tensor.shape.size() == shape.size() && tensor.dtype != "bool";
  for (size_t axis = 0; fits && axis < shape.size(); ++axis) fits = shape[axis] < 0 || shape[axis] == tensor.shape[axis];
  if (!fits) refuse_part(decoder, "the output", describe("numbers", shape), describe(tensor.dtype, tensor.shape));
  Floats floats{tensor.shape, std::vector<float>(tensor.bytes.size() / count_bytes(tensor.dtype))};
  for (size_t index = 0; index < floats.values.size(); ++index)
    floats.values[index] = convert<float>(tensor.dtype, tensor.bytes.data(), static_cast<int64_t>(index));
  return floats;
}

Floats read_output(const std::string& decoder, const Outputs& outputs, const std::vector<std::string>& order,
                   const std::optional<std::string>& name, const std::vector<int64_t>& shape) {
  return to_floats(decoder, take_output(decoder, outputs, order, name), shape);
}

double read_number(const std::string& dtype, const void* data, int64_t index) { return convert<double>(dtype, data, index); }

float apply_sigmoid(float value) {
  const float smaller = std::exp(-std::abs(value));
  return value >= 0 ? 1 / (1 + smaller) : smaller / (1 + smaller);
}

void apply_softmax(float* values, int64_t count, int64_t step) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t index = 0; index < count; ++index) {
    const float value = values[index * step];
    if (std::isnan(value)) largest = value;
    if (value > largest) largest = value;
  }
  float sum = 0;
  for (int64_t index = 0; index < count; ++index) sum += values[index * step] = std::exp(values[index * step] - largest);
  for (int64_t index = 0; index < count; ++index) values[index * step] /= sum;
}

int64_t choose_largest(const float* values, int64_t count, int64_t step) {
  int64_t best = 0;
  for (int64_t index = 0; index < count; ++index) {
    const float value = values[index * step];
    if (std::isnan(value)) return -1;
    if (value > values[best * step]) best = index;
  }
  return best;
}

}  // namespace edge_app
