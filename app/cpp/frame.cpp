#include "frame.h"

#include <optional>

#include "tensor.h"

namespace edge_app {

void check_frame(const Inputs& inputs, const std::vector<TensorSpec>& specs, bool is_stacked) {
  std::optional<int64_t> batch;
  for (const TensorSpec& spec : specs) {
    const auto found = inputs.find(spec.name);
    if (found == inputs.end()) refuse_frame("a frame lacks an input", spec.name, "an array", "none");
    const TensorView& array = found->second;
    if (array.dtype != spec.dtype)
      refuse_frame("a frame has another type than the payload takes", spec.name, spec.dtype, array.dtype);
    bool fits = array.shape.size() == spec.shape.size() && array.data && count_numbers(array.shape) > 0;
    for (size_t axis = 0; fits && axis < spec.shape.size(); ++axis)
      fits = spec.shape[axis] < 0 || spec.shape[axis] == array.shape[axis];
    if (!fits)
      refuse_frame("a frame has another size than the payload takes", spec.name, write_shape(spec.shape),
                   array.data ? write_shape(array.shape) : "no data");
    if (!is_stacked && !array.shape.empty() && batch.value_or(array.shape[0]) != array.shape[0])
      refuse_frame("a frame is no batch", spec.name, std::to_string(*batch) + " samples", write_shape(array.shape));
    if (!array.shape.empty()) batch = array.shape[0];
  }
  if (inputs.size() != specs.size())
    refuse_frame("a frame has other inputs than the payload", "inputs", std::to_string(specs.size()),
                 std::to_string(inputs.size()));
}

}  // namespace edge_app
