// Engines without TensorRT: a text says the tensors, and what comes out is the input times a number plus one.
//
//     stand-in
//     input NAME TYPE LOCATION FORMAT SHAPE LEAST MOST
//     output NAME TYPE LOCATION FORMAT SHAPE - -
//     affine SCALE BIAS
//
// SHAPE is such as -1,3,8,8; of an output, -1 is the number of samples, and -2 depends on the data. Element i of a row of the output
// is SCALE times element i of the row of the input, plus BIAS.
#include <NvInferRuntime.h>

#include <atomic>
#include <map>
#include <sstream>
#include <thread>
#include <vector>

#include "stand_in.h"

namespace {

using namespace nvinfer1;

struct IoTensor {
  std::string name;
  bool is_input = false;
  DataType type = DataType::kFLOAT;
  TensorLocation location = TensorLocation::kDEVICE;
  TensorFormat format = TensorFormat::kLINEAR;
  Dims shape{}, least{}, most{};
};

struct Network {
  std::vector<IoTensor> tensors;
  float scale = 1, bias = 0;

  const IoTensor* find(const char* name) const {
    for (const IoTensor& tensor : tensors)
      if (tensor.name == name) return &tensor;
    return nullptr;
  }
};

Dims read_dims(const std::string& text) {
  Dims dims{};
  std::stringstream sizes(text);
  for (std::string size; text != "-" && std::getline(sizes, size, ',');) dims.d[dims.nbDims++] = std::stoll(size);
  return dims;
}

Network read_network(const std::string& text) {
  static const std::map<std::string, DataType> types = {{"float32", DataType::kFLOAT}, {"float16", DataType::kHALF}, {"int64", DataType::kINT64},
                                                        {"uint8", DataType::kUINT8},   {"bfloat16", DataType::kBF16}};
  Network network;
  std::istringstream lines(text);
  std::string line, kind, type, location, format, shape, least, most;
  if (!std::getline(lines, line) || line != "stand-in") throw std::runtime_error("no engine of this TensorRT");
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    words >> kind;
    if (kind == "affine") {
      words >> network.scale >> network.bias;
      continue;
    }
    IoTensor tensor;
    words >> tensor.name >> type >> location >> format >> shape >> least >> most;
    tensor.is_input = kind == "input";
    tensor.type = types.at(type);
    tensor.location = location == "gpu" ? TensorLocation::kDEVICE : TensorLocation::kHOST;
    tensor.format = format == "linear" ? TensorFormat::kLINEAR : TensorFormat::kCHW32;
    tensor.shape = read_dims(shape);
    tensor.least = read_dims(least);
    tensor.most = read_dims(most);
    network.tensors.push_back(tensor);
  }
  return network;
}

int64_t count_row(const Dims& dims) {
  int64_t count = 1;
  for (int32_t axis = 1; axis < dims.nbDims; ++axis) count *= dims.d[axis];
  return count;
}

class Context : public IExecutionContext {
 public:
  Context(const Network& network, ILogger& logger, std::atomic<int>& users) : network_(network), logger_(logger), users_(users) {
    ++users_;
    stand_in::count("contexts", 1);
  }
  ~Context() noexcept override {
    --users_;
    stand_in::count("contexts", -1);
  }

  bool setInputShape(char const* name, Dims const& dims) noexcept override {
    if (stand_in::fails("setInputShape")) return say("setInputShape failed, as it was asked for");
    const IoTensor* tensor = network_.find(name);
    if (!tensor || !tensor->is_input || dims.nbDims != tensor->shape.nbDims) return say("no such input");
    for (int32_t axis = 0; axis < dims.nbDims; ++axis) {
      const bool is_open = tensor->shape.d[axis] < 0;
      if (is_open ? dims.d[axis] < tensor->least.d[axis] || dims.d[axis] > tensor->most.d[axis] : dims.d[axis] != tensor->shape.d[axis])
        return say("a shape outside of the profile");
    }
    shapes_[name] = dims;
    return true;
  }

  Dims getTensorShape(char const* name) const noexcept override {
    const IoTensor* tensor = network_.find(name);
    if (!tensor) return Dims{-1, {}};
    const auto set = shapes_.find(name);
    if (set != shapes_.end()) return set->second;
    Dims dims = tensor->shape;
    if (!tensor->is_input)
      for (int32_t axis = 0; axis < dims.nbDims; ++axis) {
        if (dims.d[axis] == -1 && !shapes_.empty()) dims.d[axis] = shapes_.begin()->second.d[0];
        if (dims.d[axis] == -2) dims.d[axis] = -1;
      }
    return dims;
  }

  bool setTensorAddress(char const* name, void* data) noexcept override {
    if (stand_in::fails("setTensorAddress")) return say("setTensorAddress failed, as it was asked for");
    addresses_[name] = data;
    return true;
  }

  bool enqueueV3(cudaStream_t stream) noexcept override {
    if (is_busy_.exchange(true)) stand_in::abort_with("two threads in one context");
    for (int turn = 0; turn < 100; ++turn) std::this_thread::yield();
    const bool is_done = enqueue(stream);
    is_busy_ = false;
    return is_done;
  }

 private:
  bool say(const char* words) const {
    logger_.log(ILogger::Severity::kERROR, words);
    return false;
  }

  bool enqueue(cudaStream_t stream) {
    if (stand_in::fails("enqueueV3")) return say("enqueueV3 failed, as it was asked for\nand a second line");
    const IoTensor *in = nullptr, *out = nullptr;
    for (const IoTensor& tensor : network_.tensors) (tensor.is_input ? in : out) = &tensor;
    const Dims from = getTensorShape(in->name.c_str()), to = getTensorShape(out->name.c_str());
    const int64_t samples = from.d[0], given = count_row(from), made = count_row(to);
    const auto* source = static_cast<const float*>(addresses_[in->name]);
    auto* target = static_cast<float*>(addresses_[out->name]);
    if (!stand_in::is_device(source, static_cast<size_t>(samples * given) * 4) || !stand_in::is_device(target, static_cast<size_t>(samples * made) * 4))
      return say("an address that is none of the GPU");
    const float scale = network_.scale, bias = network_.bias;
    stand_in::enqueue(stream, [=] {
      stand_in::with_memory([=] {
        for (int64_t sample = 0; sample < samples; ++sample)
          for (int64_t index = 0; index < made; ++index) target[sample * made + index] = source[sample * given + index] * scale + bias;
      });
    });
    return true;
  }

  const Network& network_;
  ILogger& logger_;
  std::atomic<int>& users_;
  std::map<std::string, Dims> shapes_;
  std::map<std::string, void*> addresses_;
  std::atomic<bool> is_busy_{false};
};

class Engine : public ICudaEngine {
 public:
  Engine(Network network, ILogger& logger, std::atomic<int>& users) : network_(std::move(network)), logger_(logger), users_(users) {
    ++users_;
    stand_in::count("engines", 1);
  }
  ~Engine() noexcept override {
    if (contexts_ != 0) stand_in::abort_with("an engine went before its context");
    --users_;
    stand_in::count("engines", -1);
  }

  int32_t getNbIOTensors() const noexcept override { return static_cast<int32_t>(network_.tensors.size()); }
  char const* getIOTensorName(int32_t index) const noexcept override { return network_.tensors[static_cast<size_t>(index)].name.c_str(); }
  TensorIOMode getTensorIOMode(char const* name) const noexcept override {
    return network_.find(name)->is_input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
  }
  DataType getTensorDataType(char const* name) const noexcept override { return network_.find(name)->type; }
  TensorLocation getTensorLocation(char const* name) const noexcept override { return network_.find(name)->location; }
  TensorFormat getTensorFormat(char const* name) const noexcept override { return network_.find(name)->format; }
  Dims getTensorShape(char const* name) const noexcept override {
    Dims dims = network_.find(name)->shape;
    for (int64_t& size : dims.d)
      if (size == -2) size = -1;
    return dims;
  }
  Dims getProfileShape(char const* name, int32_t, OptProfileSelector select) const noexcept override {
    const IoTensor& tensor = *network_.find(name);
    return select == OptProfileSelector::kMIN ? tensor.least : tensor.most;
  }
  IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
    if (stand_in::fails("createExecutionContext")) {
      logger_.log(ILogger::Severity::kERROR, "no memory for a context");
      return nullptr;
    }
    return new Context(network_, logger_, contexts_);
  }

 private:
  const Network network_;
  ILogger& logger_;
  std::atomic<int>& users_;
  std::atomic<int> contexts_{0};
};

class Runtime : public IRuntime {
 public:
  explicit Runtime(ILogger& logger) : logger_(logger) { stand_in::count("runtimes", 1); }
  ~Runtime() noexcept override {
    if (engines_ != 0) stand_in::abort_with("a runtime went before its engine");
    stand_in::count("runtimes", -1);
  }

  ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept override {
    try {
      logger_.log(ILogger::Severity::kWARNING, "a warning that nobody asked for");
      return new Engine(read_network({static_cast<const char*>(blob), size}), logger_, engines_);
    } catch (const std::exception& error) {
      logger_.log(ILogger::Severity::kERROR, error.what());
      return nullptr;
    }
  }

 private:
  ILogger& logger_;
  std::atomic<int> engines_{0};
};

}  // namespace

extern "C" void* createInferRuntime_INTERNAL(void* logger, int32_t) noexcept {
  auto& known = *static_cast<ILogger*>(logger);
  if (stand_in::fails("createInferRuntime")) {
    known.log(ILogger::Severity::kINTERNAL_ERROR, "CUDA initialization failure with error: 35");
    return nullptr;
  }
  return static_cast<IRuntime*>(new Runtime(known));
}

extern "C" int32_t getInferLibVersion() noexcept { return 100300; }
