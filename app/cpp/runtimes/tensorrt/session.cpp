#include "runtimes/tensorrt/session.h"

#include <NvInferRuntime.h>

#include <cstring>
#include <exception>
#include <map>
#include <mutex>

#include "runtimes/loaded_library.h"
#include "runtimes/tensorrt/cuda.h"
#include "runtimes/tensorrt/engine.h"
#include "tensor.h"

namespace edge_app {
namespace {

// One tensor's memory, as large as its largest shape.
struct Buffer {
  size_t size_bytes = 0;
  cuda::DeviceMemory device;
  cuda::PinnedMemory pinned;
};

using Shapes = std::map<std::string, Shape>;

// As toolchain/agent/measure/tensorrt/execution.py runs what it measures: through pinned buffers, as a CUDA graph once a shape repeats.
class TensorRtSession : public Session {
 public:
  explicit TensorRtSession(const Payload& payload)
      : where_(payload.where), inputs_(payload.inputs), outputs_(payload.outputs), engine_(std::make_unique<const Engine>(payload)), context_(engine_->create_context()) {
    stream_ = cuda::create_stream();
    Shapes most;
    for (const auto& [name, range] : engine_->inputs()) most[name] = range.most;
    const Shapes largest = set_shapes(most);
    for (const TensorSpec& spec : list_tensors()) {
      Buffer& buffer = buffers_[spec.name];
      buffer.size_bytes = count_tensor_bytes(spec, largest.at(spec.name));
      buffer.device = cuda::allocate(buffer.size_bytes);
      buffer.pinned = cuda::allocate_pinned(buffer.size_bytes);
      require(context_->setTensorAddress(spec.name.c_str(), buffer.device.get()), where_, "setTensorAddress " + spec.name);
    }
  }

  ~TensorRtSession() override {
    try {
      const cuda::Device device;
      cudaStreamSynchronize(stream_.get());
      executable_.reset();
      buffers_.clear();
      stream_.reset();
      context_.reset();
      engine_.reset();
    } catch (const Error&) {  // the device is gone, and what was on it
    }
  }

  Outputs run(const Inputs& inputs) const override {
    std::lock_guard<std::mutex> lock(mutex_);
    const cuda::Device device;
    try {
      take_shapes(inputs);
      for (const TensorSpec& spec : inputs_)
        std::memcpy(buffers_.at(spec.name).pinned.get(), inputs.at(spec.name).data, count_tensor_bytes(spec, shapes_.at(spec.name)));
      execute();
    } catch (...) {
      cudaStreamSynchronize(stream_.get());  // what was begun reads memory that the next frame writes
      throw;
    }
    Outputs outputs;
    for (const TensorSpec& spec : outputs_) {
      const Shape& shape = shapes_.at(spec.name);
      const auto* bytes = static_cast<const uint8_t*>(buffers_.at(spec.name).pinned.get());
      outputs[spec.name] = {spec.dtype, shape, std::vector<uint8_t>(bytes, bytes + count_tensor_bytes(spec, shape))};
    }
    return outputs;
  }

 private:
  std::vector<TensorSpec> list_tensors() const {
    std::vector<TensorSpec> tensors = inputs_;
    tensors.insert(tensors.end(), outputs_.begin(), outputs_.end());
    return tensors;
  }

  static size_t count_tensor_bytes(const TensorSpec& spec, const Shape& shape) {
    return static_cast<size_t>(count_numbers(shape)) * count_bytes(spec.dtype);
  }

  // Sets the shapes of the inputs; returns those of all tensors.
  Shapes set_shapes(const Shapes& inputs) const {
    Shapes shapes = inputs;
    for (const auto& [name, shape] : inputs)
      require(context_->setInputShape(name.c_str(), write_dims(shape)), where_, "setInputShape " + name);
    for (const TensorSpec& spec : outputs_) {
      Shape& shape = shapes[spec.name] = read_shape(context_->getTensorShape(spec.name.c_str()));
      for (const int64_t size : shape)
        if (size < 0)
          throw Error(Code::kIncompatible, "the shape of an output depends on the data", where_ + ": " + spec.name,
                      "a shape that follows from those of the inputs", write_shape(shape),
                      "leave NonMaxSuppression, NonZero and the like out of the model");
    }
    return shapes;
  }

  void take_shapes(const Inputs& inputs) const {
    Shapes wanted;
    bool is_same = true;
    for (const auto& [name, range] : engine_->inputs()) {
      const Shape& shape = wanted[name] = inputs.at(name).shape;
      if (!range.has(shape))
        refuse_frame("the engine was not built for a frame of this size", name, write_shape(range.least) + " to " + write_shape(range.most),
                     write_shape(shape));
      const auto known = shapes_.find(name);
      is_same = is_same && known != shapes_.end() && known->second == shape;
    }
    if (is_same) return;
    executable_.reset();
    is_warm_ = false;
    shapes_.clear();  // should the next lines fail, no shape is taken for set
    Shapes shapes = set_shapes(wanted);
    for (const TensorSpec& spec : list_tensors())
      if (count_tensor_bytes(spec, shapes.at(spec.name)) > buffers_.at(spec.name).size_bytes)
        throw Error(Code::kIncompatible, "an output of a smaller frame is larger than that of the largest", where_ + ": " + spec.name,
                    std::to_string(buffers_.at(spec.name).size_bytes) + " bytes", write_shape(shapes.at(spec.name)),
                    "export the model with outputs that grow with its inputs");
    shapes_ = std::move(shapes);
  }

  void execute() const {
    // The first run of a shape is no graph: TensorRT prepares things then that a graph cannot hold.
    if (!executable_ && is_warm_ && !is_graph_refused_) {
      try {
        capture();
      } catch (const Error&) {  // it runs without; what is broken beyond that, the next calls say
        is_graph_refused_ = true;
      }
    }
    if (executable_) cuda::check(cudaGraphLaunch(executable_.get(), stream_.get()), "cudaGraphLaunch");
    else enqueue();
    cuda::check(cudaStreamSynchronize(stream_.get()), "cudaStreamSynchronize");
    is_warm_ = true;
  }

  void enqueue() const {
    for (const TensorSpec& spec : inputs_) {
      const Buffer& buffer = buffers_.at(spec.name);
      cuda::check(cudaMemcpyAsync(buffer.device.get(), buffer.pinned.get(), count_tensor_bytes(spec, shapes_.at(spec.name)),
                                  cudaMemcpyHostToDevice, stream_.get()),
                  "cudaMemcpyAsync to the GPU");
    }
    require(context_->enqueueV3(stream_.get()), where_, "enqueueV3");
    for (const TensorSpec& spec : outputs_) {
      const Buffer& buffer = buffers_.at(spec.name);
      cuda::check(cudaMemcpyAsync(buffer.pinned.get(), buffer.device.get(), count_tensor_bytes(spec, shapes_.at(spec.name)),
                                  cudaMemcpyDeviceToHost, stream_.get()),
                  "cudaMemcpyAsync from the GPU");
    }
  }

  void capture() const {
    cuda::check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    std::exception_ptr failed;
    try {
      enqueue();
    } catch (...) {
      failed = std::current_exception();
    }
    // Whatever became of it, the stream has to leave the capture.
    cudaGraph_t made = nullptr;
    const cudaError_t code = cudaStreamEndCapture(stream_.get(), &made);
    const cuda::Graph graph(made);
    if (failed) {
      cudaGetLastError();
      std::rethrow_exception(failed);
    }
    cuda::check(code, "cudaStreamEndCapture");
    cudaGraphExec_t executable = nullptr;
    cuda::check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
    executable_.reset(executable);
  }

  const std::string where_;
  const std::vector<TensorSpec> inputs_, outputs_;
  // In this order: the context goes before its engine.
  std::unique_ptr<const Engine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  cuda::Stream stream_;
  std::map<std::string, Buffer> buffers_;
  // A context runs one frame at a time.
  mutable std::mutex mutex_;
  mutable Shapes shapes_;
  mutable cuda::Executable executable_;
  mutable bool is_warm_ = false, is_graph_refused_ = false;
};

}  // namespace

std::unique_ptr<Session> open_tensorrt(const Payload& payload) {
  const cuda::Device device;
  return std::make_unique<TensorRtSession>(payload);
}

std::string read_tensorrt_version() {
  const int32_t version = getInferLibVersion();  // as NV_TENSORRT_VERSION
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

std::string hash_tensorrt() {
  static const std::string found = hash_library_of(reinterpret_cast<const void*>(&createInferRuntime_INTERNAL));
  return found;
}

}  // namespace edge_app
