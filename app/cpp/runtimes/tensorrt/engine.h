// An engine as TensorRT opens it, held against what the manifest says of it. Not yet run on hardware.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edge_app.h"
#include "runtimes/session.h"

namespace edge_app {

using Shape = std::vector<int64_t>;

// (-1) where TensorRT does not know the rank.
Shape read_shape(const nvinfer1::Dims& dims);
nvinfer1::Dims write_dims(const Shape& shape);

// What TensorRT said last, in one line: its calls return no reason.
std::string read_last_error();
// Throws Error (1) for a call that returned false.
void require(bool is_done, const std::string& where, const std::string& call);

// The shapes that an input takes.
struct Range {
  Shape least, most;
  bool has(const Shape& shape) const;
};

class Engine {
 public:
  // From bytes that were held against the verdict before; throws Error: 12 TensorRT refuses them, or an input or output cannot be
  // fed; 23 names, types or shapes are not the manifest's.
  explicit Engine(const Payload& payload);

  const std::map<std::string, Range>& inputs() const { return inputs_; }
  // Throws Error (12) where there is no memory for it.
  std::unique_ptr<nvinfer1::IExecutionContext> create_context() const;

 private:
  void check_tensors(const Payload& payload) const;
  Range read_range(const std::string& name) const;

  const std::string where_;
  // In this order: the engine goes before its runtime.
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::map<std::string, Range> inputs_;
};

}  // namespace edge_app
