// TensorRT: opens the engine that was built and proven on this board. Not yet run on hardware.
#pragma once

#include <memory>
#include <string>

#include "runtimes/session.h"

namespace edge_app {

// Throws Error: 12 no GPU, too little memory, an engine that TensorRT refuses or that cannot be fed; 23 one that is not what the
// manifest says.
std::unique_ptr<Session> open_tensorrt(const Payload& payload);

std::string read_tensorrt_version();
// The bytes of the library that this process has loaded.
std::string hash_tensorrt();

}  // namespace edge_app
