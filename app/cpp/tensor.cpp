#include "tensor.h"

namespace edge_app {

std::string write_shape(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + (size < 0 ? "any" : std::to_string(size));
  return "(" + text + ")";
}

void refuse_frame(const std::string& happened, const std::string& where, const std::string& expected,
                  const std::string& found) {
  throw FrameError(Code::kUsage, happened, where, expected, found,
                   "give what the model was proven with: inputs() says it; nothing is converted silently");
}

int64_t count_numbers(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(count, size, &count))
      refuse_frame("a shape is none", "shape", "sizes of 0 or more that memory could hold", write_shape(shape));
  return count;
}

size_t count_bytes(const std::string& dtype) {
  if (dtype == "bool" || dtype == "int8" || dtype == "uint8") return 1;
  if (dtype == "float16" || dtype == "int16" || dtype == "uint16") return 2;
  if (dtype == "float32" || dtype == "int32" || dtype == "uint32") return 4;
  return dtype == "float64" || dtype == "int64" || dtype == "uint64" ? 8 : 0;
}

void refuse_numbers(const std::string& expected, const std::string& found) {
  refuse_frame("a tensor has other numbers", "tensor", expected, found);
}

}  // namespace edge_app
