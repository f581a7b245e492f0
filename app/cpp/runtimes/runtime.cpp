#include "runtimes/runtime.h"

#include <map>

#ifdef EDGE_APP_ONNXRUNTIME
#include "runtimes/onnxruntime.h"
#endif
#ifdef EDGE_APP_TENSORRT
#include "runtimes/tensorrt/session.h"
#endif

namespace edge_app {
namespace {

const std::map<std::string, Runtime>& list_known() {
  static const std::map<std::string, Runtime> known = {
#ifdef EDGE_APP_ONNXRUNTIME
      {"onnxruntime", {"ONNX Runtime", false, read_onnxruntime_version, hash_onnxruntime, open_onnxruntime}},
#endif
#ifdef EDGE_APP_TENSORRT
      {"tensorrt", {"TensorRT", true, read_tensorrt_version, hash_tensorrt, open_tensorrt}},
#endif
  };
  return known;
}

}  // namespace

const Runtime* find_runtime(const std::string& name) {
  const auto found = list_known().find(name);
  return found == list_known().end() ? nullptr : &found->second;
}

std::string list_runtimes() {
  std::string names;
  for (const auto& [name, runtime] : list_known()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace edge_app
