#include "runtimes/onnxruntime.h"

#include <onnxruntime_c_api.h>

#include <map>
#include <optional>
#include <vector>

#include "runtimes/loaded_library.h"
#include "runtimes/pinning.h"

namespace edge_app {
namespace {

// Of ONNX Runtime's C API, which only grows at its end: the oldest that the targets take (targets/*.toml: 1.23 or newer).
constexpr uint32_t kApiVersion = 23;

const OrtApi& find_api() {
  static const OrtApi* const api = OrtGetApiBase()->GetApi(kApiVersion);
  if (!api)
    throw Error(Code::kMissing, "this ONNX Runtime is too old for the application", "libonnxruntime",
                "one with API " + std::to_string(kApiVersion), OrtGetApiBase()->GetVersionString(),
                "install a newer one, or build the application with its headers");
  return *api;
}

void check(OrtStatus* status, Code code, const std::string& happened, const std::string& where) {
  if (!status) return;
  const std::string found = find_api().GetErrorMessage(status);
  find_api().ReleaseStatus(status);
  throw Error(code, happened, where, "", found, "deploy the model again, for the runtime that is there");
}

const std::map<std::string, std::pair<ONNXTensorElementDataType, size_t>>& list_dtypes() {
  static const std::map<std::string, std::pair<ONNXTensorElementDataType, size_t>> dtypes = {
      {"float16", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2}}, {"float32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4}},
      {"float64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8}},  {"bool", {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1}},
      {"int8", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1}},       {"int16", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, 2}},
      {"int32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4}},     {"int64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8}},
      {"uint8", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1}},     {"uint16", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, 2}},
      {"uint32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, 4}},   {"uint64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, 8}},
  };
  return dtypes;
}

template <typename Kind>
using Owned = std::unique_ptr<Kind, void (*)(Kind*)>;

class OnnxRuntimeSession : public Session {
 public:
  explicit OnnxRuntimeSession(const Payload& payload) : where_(payload.where), inputs_(payload.inputs), outputs_(payload.outputs) {
    const OrtApi& api = find_api();
    const std::string failed = "ONNX Runtime cannot open the payload";
    OrtEnv* env = nullptr;
    check(api.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "edge_app", &env), Code::kUnexpected, failed, payload.where);
    env_.reset(env);
    OrtSessionOptions* options = nullptr;
    check(api.CreateSessionOptions(&options), Code::kUnexpected, failed, payload.where);
    Owned<OrtSessionOptions> owned(options, api.ReleaseSessionOptions);
    // As toolchain/agent/measure/runtimes/onnxruntime.py opens what it measures.
    check(api.SetIntraOpNumThreads(options, payload.threads), Code::kUnexpected, failed, "threads");
    check(api.SetInterOpNumThreads(options, 1), Code::kUnexpected, failed, "threads");
    check(api.SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_FATAL), Code::kUnexpected, failed, "log");
    check(api.AddSessionConfigEntry(options, "session.force_spinning_stop", "1"), Code::kUnexpected, failed, "threads");
    std::optional<PinnedThreads> pinned;
    if (payload.pins_threads) {
      pinned.emplace(payload.threads, payload.where);
      check(api.AddSessionConfigEntry(options, "session.intra_op_thread_affinities", pinned->name_affinities().c_str()), Code::kUnexpected,
            failed, "threads");
    }
    OrtSession* session = nullptr;
    // From the bytes that were hashed: what lies at the path meanwhile does not matter.
    check(api.CreateSessionFromArray(env, payload.bytes.data(), payload.bytes.size(), options, &session), Code::kMalformed, failed,
          payload.where);
    session_.reset(session);
    if (pinned) pinned->check();
    OrtMemoryInfo* memory = nullptr;
    check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), Code::kUnexpected, failed, "memory");
    memory_.reset(memory);
  }

  Outputs run(const Inputs& inputs) const override {
    const OrtApi& api = find_api();
    std::vector<const char*> in_names, out_names;
    std::vector<Owned<OrtValue>> owned;
    std::vector<const OrtValue*> fed;
    for (const TensorSpec& spec : inputs_) {
      const TensorView& array = inputs.at(spec.name);
      const auto& [kind, size] = list_dtypes().at(spec.dtype);
      OrtValue* value = nullptr;
      check(api.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void*>(array.data),
                                               static_cast<size_t>(count_numbers(array.shape)) * size, array.shape.data(),
                                               array.shape.size(), kind, &value),
            Code::kMalformed, "the payload cannot be fed", spec.name);
      owned.emplace_back(value, api.ReleaseValue);
      fed.push_back(value);
      in_names.push_back(spec.name.c_str());
    }
    for (const TensorSpec& spec : outputs_) out_names.push_back(spec.name.c_str());
    std::vector<OrtValue*> made(out_names.size(), nullptr);
    OrtStatus* status = api.Run(session_.get(), nullptr, in_names.data(), fed.data(), fed.size(), out_names.data(),
                                out_names.size(), made.data());
    std::vector<Owned<OrtValue>> results;
    for (OrtValue* value : made) results.emplace_back(value, api.ReleaseValue);
    check(status, Code::kMalformed, "the payload fails to run", where_);
    Outputs outputs;
    for (size_t index = 0; index < results.size(); ++index)
      outputs[outputs_[index].name] = copy(results[index].get(), outputs_[index]);
    return outputs;
  }

 private:
  static Tensor copy(OrtValue* value, const TensorSpec& spec) {
    const OrtApi& api = find_api();
    const std::string failed = "an output cannot be read";
    OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api.GetTensorTypeAndShape(value, &info), Code::kMalformed, failed, spec.name);
    Owned<OrtTensorTypeAndShapeInfo> owned(info, api.ReleaseTensorTypeAndShapeInfo);
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    check(api.GetTensorElementType(info, &type), Code::kMalformed, failed, spec.name);
    check(api.GetDimensionsCount(info, &rank), Code::kMalformed, failed, spec.name);
    Tensor tensor{spec.dtype, std::vector<int64_t>(rank), {}};
    check(api.GetDimensions(info, tensor.shape.data(), rank), Code::kMalformed, failed, spec.name);
    const auto kind = list_dtypes().find(spec.dtype);
    if (kind == list_dtypes().end() || kind->second.first != type)
      throw Error(Code::kMalformed, "an output is not what the manifest says", spec.name, spec.dtype,
                  "ONNX type " + std::to_string(static_cast<int>(type)), "deploy the model again");
    void* data = nullptr;
    check(api.GetTensorMutableData(value, &data), Code::kMalformed, failed, spec.name);
    const auto* bytes = static_cast<const uint8_t*>(data);
    tensor.bytes.assign(bytes, bytes + static_cast<size_t>(count_numbers(tensor.shape)) * kind->second.second);
    return tensor;
  }

  const std::string where_;
  const std::vector<TensorSpec> inputs_, outputs_;
  // In this order: the session goes before the environment.
  Owned<OrtEnv> env_{nullptr, find_api().ReleaseEnv};
  Owned<OrtMemoryInfo> memory_{nullptr, find_api().ReleaseMemoryInfo};
  Owned<OrtSession> session_{nullptr, find_api().ReleaseSession};
};

}  // namespace

std::unique_ptr<Session> open_onnxruntime(const Payload& payload) { return std::make_unique<OnnxRuntimeSession>(payload); }

std::string read_onnxruntime_version() { return OrtGetApiBase()->GetVersionString(); }

std::string hash_onnxruntime() {
  static const std::string found = hash_library_of(reinterpret_cast<const void*>(&OrtGetApiBase));
  return found;
}

}  // namespace edge_app
