// Outputs as decoders read them: float32, and of the shape that is expected.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "edge_app.h"

namespace edge_app {

struct Floats {
  std::vector<int64_t> shape;
  std::vector<float> values;

  int64_t size(size_t axis) const { return shape[axis]; }
  const float* at(int64_t index) const { return values.data() + index; }
};

[[noreturn]] void refuse_part(const std::string& decoder, const std::string& where, const std::string& expected, const std::string& found,
                              const std::string& fix = "choose the decoder of the task, and deploy again");
std::string describe(const std::string& dtype, const std::vector<int64_t>& shape);

// Returns an output by its name, of none the first; throws Error (23) where there is none.
const Tensor& take_output(const std::string& decoder, const Outputs& outputs, const std::vector<std::string>& order,
                          const std::optional<std::string>& name);

// As float32, of this shape, where -1 is any length; throws Error (23) for any other, and for bools.
Floats to_floats(const std::string& decoder, const Tensor& tensor, const std::vector<int64_t>& shape);
Floats read_output(const std::string& decoder, const Outputs& outputs, const std::vector<std::string>& order,
                   const std::optional<std::string>& name, const std::vector<int64_t>& shape);

// A number of numpy's type at a place, as a double; of bools 0 or 1.
double read_number(const std::string& dtype, const void* data, int64_t index);

float apply_sigmoid(float value);
// Over `count` values that lie `step` apart; a NaN or an infinite largest makes all of them NaN.
void apply_softmax(float* values, int64_t count, int64_t step = 1);
// Where the largest stands, of equal ones the first; -1 where there is a NaN.
int64_t choose_largest(const float* values, int64_t count, int64_t step = 1);

template <typename Number>
Answer make_answer(const std::vector<Number>& numbers, std::vector<int64_t> shape, std::vector<int64_t> offsets = {}) {
  Answer answer;
  answer.values.dtype = Dtype<Number>::name;
  answer.values.shape = std::move(shape);
  const auto* bytes = reinterpret_cast<const uint8_t*>(numbers.data());
  answer.values.bytes.assign(bytes, bytes + numbers.size() * sizeof(Number));
  answer.offsets = std::move(offsets);
  return answer;
}

}  // namespace edge_app
