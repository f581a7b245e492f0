#include "runtimes/tensorrt/engine.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "tensor.h"

#if NV_TENSORRT_MAJOR * 100 + NV_TENSORRT_MINOR < 1003
#error "TensorRT 10.3 or newer (JetPack 6.1) is needed: no older one has engines of ours"
#endif

namespace edge_app {
namespace {

using nvinfer1::DataType;

// TensorRT's types that numpy has, as toolchain/agent/measure/tensorrt/execution.py.
const std::map<DataType, const char*>& list_dtypes() {
  static const std::map<DataType, const char*> dtypes = {
      {DataType::kFLOAT, "float32"}, {DataType::kHALF, "float16"}, {DataType::kINT8, "int8"},  {DataType::kINT32, "int32"},
      {DataType::kINT64, "int64"},   {DataType::kBOOL, "bool"},    {DataType::kUINT8, "uint8"},
  };
  return dtypes;
}

// TensorRT takes one logger for the whole process, and calls it from threads of its own.
class Logger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* text) noexcept override {
    if (severity != Severity::kERROR && severity != Severity::kINTERNAL_ERROR) return;
    try {
      std::lock_guard<std::mutex> lock(mutex_);
      last_ = text;
    } catch (const std::exception&) {  // no memory for words: there is none for what they are about either
    }
  }

  std::string take_last() {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string text = std::exchange(last_, "");
    text = text.substr(0, text.find('\n'));
    return text.empty() ? "TensorRT gave no reason" : text;
  }

 private:
  std::mutex mutex_;
  std::string last_;
};

Logger& find_logger() {
  static Logger& logger = *new Logger;  // never destroyed: TensorRT's own threads may outlive what is static
  return logger;
}

[[noreturn]] void refuse_engine(const std::string& where, const std::string& happened, const std::string& found, const std::string& fix) {
  throw Error(Code::kIncompatible, happened, where, "", found, fix);
}

[[noreturn]] void refuse_tensor(Code code, const std::string& where, const std::string& expected, const std::string& found) {
  const bool is_strange = code == Code::kMalformed;
  throw Error(code, is_strange ? "the engine is not what its manifest says" : "the engine has an input or output that cannot be fed", where, expected,
              found, is_strange ? "deploy the model again" : "export the model with plain arrays as inputs and outputs, and its shapes as constants");
}

}  // namespace

Shape read_shape(const nvinfer1::Dims& dims) {
  return dims.nbDims < 0 ? Shape{-1} : Shape(dims.d, dims.d + dims.nbDims);
}

nvinfer1::Dims write_dims(const Shape& shape) {
  nvinfer1::Dims dims{};
  dims.nbDims = static_cast<int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), dims.d);
  return dims;
}

std::string read_last_error() { return find_logger().take_last(); }

void require(bool is_done, const std::string& where, const std::string& call) {
  if (!is_done)
    throw Error(Code::kUnexpected, "a TensorRT call failed", where + ": " + call, "", read_last_error(),
                "stop what else uses the GPU and try again; if it comes back, reboot the board");
}

bool Range::has(const Shape& shape) const {
  bool fits = shape.size() == least.size() && shape.size() == most.size();
  for (size_t axis = 0; fits && axis < shape.size(); ++axis) fits = least[axis] <= shape[axis] && shape[axis] <= most[axis];
  return fits;
}

Engine::Engine(const Payload& payload) : where_(payload.where) {
  runtime_.reset(nvinfer1::createInferRuntime(find_logger()));
  if (!runtime_)
    refuse_engine(where_, "TensorRT cannot be started", read_last_error(), "look whether TensorRT, CUDA and the driver are of one JetPack");
  engine_.reset(runtime_->deserializeCudaEngine(payload.bytes.data(), payload.bytes.size()));
  if (!engine_)
    refuse_engine(where_, "TensorRT cannot open the engine that was built here", read_last_error(),
                  "was TensorRT or the driver changed without a new version? deploy the bundle again");
  check_tensors(payload);
  for (const TensorSpec& spec : payload.inputs) inputs_[spec.name] = read_range(spec.name);
}

void Engine::check_tensors(const Payload& payload) const {
  std::map<std::string, std::pair<const TensorSpec*, nvinfer1::TensorIOMode>> expected;
  for (const TensorSpec& spec : payload.inputs) expected[spec.name] = {&spec, nvinfer1::TensorIOMode::kINPUT};
  for (const TensorSpec& spec : payload.outputs) expected[spec.name] = {&spec, nvinfer1::TensorIOMode::kOUTPUT};
  const int32_t count = engine_->getNbIOTensors();
  if (count != static_cast<int32_t>(expected.size()))
    refuse_tensor(Code::kMalformed, where_, std::to_string(expected.size()) + " inputs and outputs", std::to_string(count));
  std::set<std::string> seen;
  for (int32_t index = 0; index < count; ++index) {
    const char* const name = engine_->getIOTensorName(index);
    const auto known = expected.find(name ? name : "");
    if (known == expected.end() || engine_->getTensorIOMode(name) != known->second.second || !seen.insert(name).second)
      refuse_tensor(Code::kMalformed, where_, "the inputs and outputs of the manifest, once each", name ? name : "one without a name");
    const TensorSpec& spec = *known->second.first;
    const std::string at = where_ + ": " + name;
    const auto dtype = list_dtypes().find(engine_->getTensorDataType(name));
    if (dtype == list_dtypes().end() || engine_->getTensorLocation(name) != nvinfer1::TensorLocation::kDEVICE ||
        engine_->getTensorFormat(name) != nvinfer1::TensorFormat::kLINEAR)
      refuse_tensor(Code::kIncompatible, at, "plain arrays on the GPU of a type that numpy has", "another");
    if (dtype->second != spec.dtype) refuse_tensor(Code::kMalformed, at, spec.dtype, dtype->second);
    const Shape shape = read_shape(engine_->getTensorShape(name));
    bool fits = shape.size() == spec.shape.size();
    for (size_t axis = 0; fits && axis < shape.size(); ++axis)
      fits = shape[axis] < 0 || spec.shape[axis] < 0 || shape[axis] == spec.shape[axis];
    if (!fits) refuse_tensor(Code::kMalformed, at, write_shape(spec.shape), write_shape(shape));
  }
}

// Its own shape where that is fixed, else those of its one profile.
Range Engine::read_range(const std::string& name) const {
  const Shape fixed = read_shape(engine_->getTensorShape(name.c_str()));
  if (std::all_of(fixed.begin(), fixed.end(), [](int64_t size) { return size >= 0; })) return {fixed, fixed};
  const auto read = [&](nvinfer1::OptProfileSelector which) { return read_shape(engine_->getProfileShape(name.c_str(), 0, which)); };
  const Range range{read(nvinfer1::OptProfileSelector::kMIN), read(nvinfer1::OptProfileSelector::kMAX)};
  const bool is_whole = range.least.size() == fixed.size() && range.has(range.least) &&
                        std::all_of(range.least.begin(), range.least.end(), [](int64_t size) { return size >= 0; });
  if (!is_whole) refuse_tensor(Code::kIncompatible, where_ + ": " + name, "an optimization profile", write_shape(range.most));
  return range;
}

std::unique_ptr<nvinfer1::IExecutionContext> Engine::create_context() const {
  std::unique_ptr<nvinfer1::IExecutionContext> context(engine_->createExecutionContext());
  if (!context) refuse_engine(where_, "TensorRT cannot prepare the engine to run", read_last_error(), "stop what else uses the GPU's memory");
  return context;
}

}  // namespace edge_app
