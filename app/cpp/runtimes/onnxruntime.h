// ONNX Runtime by its C API.
#pragma once

#include <memory>
#include <string>

#include "runtimes/session.h"

namespace edge_app {

std::unique_ptr<Session> open_onnxruntime(const Payload& payload);

std::string read_onnxruntime_version();
// The bytes of the library that this process has loaded.
std::string hash_onnxruntime();

}  // namespace edge_app
