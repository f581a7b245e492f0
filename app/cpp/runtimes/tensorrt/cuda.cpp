#include "runtimes/tensorrt/cuda.h"

#include <algorithm>
#include <map>
#include <string>

#include "edge_app.h"

namespace edge_app::cuda {
namespace {

constexpr int kDevice = 0;

// As toolchain/agent/measure/tensorrt/cuda.py: codes (driver_types.h) that a user can act on.
const std::map<std::string, const char*>& list_fixes() {
  static const std::map<std::string, const char*> fixes = {
      {"cudaErrorMemoryAllocation", "stop what else uses the GPU's memory, or build for a smaller batch"},
      {"cudaErrorNoDevice", "run on a machine with an NVIDIA GPU, or look whether its driver is loaded"},
      {"cudaErrorInsufficientDriver", "upgrade the driver (on a Jetson: JetPack), or build with an older CUDA"},
      {"cudaErrorSystemDriverMismatch", "reboot: the driver was upgraded while it was loaded"},
      {"cudaErrorCompatNotSupportedOnDevice", "build with the CUDA version of this driver"},
      {"cudaErrorNoKernelImageForDevice", "install a TensorRT that supports this GPU"},
      {"cudaErrorDevicesUnavailable", "stop the process that has the GPU for itself"},
  };
  return fixes;
}

}  // namespace

void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  // Else the next one who asks for the last error, as TensorRT does, takes this one for its own.
  cudaGetLastError();
  const std::string name = cudaGetErrorName(code);
  const auto fix = list_fixes().find(name);
  const bool is_known = fix != list_fixes().end();
  throw Error(is_known ? Code::kIncompatible : Code::kUnexpected, "a CUDA call failed", call, "cudaSuccess",
              name + ": " + cudaGetErrorString(code),
              is_known ? fix->second : "reboot the board, which resets the GPU; if it comes back, report it with the end of dmesg");
}

Device::Device() {
  check(cudaGetDevice(&before_), "cudaGetDevice");
  check(cudaSetDevice(kDevice), "cudaSetDevice");
}

Device::~Device() {
  if (before_ != kDevice) cudaSetDevice(before_);
}

Stream create_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return Stream(stream);
}

DeviceMemory allocate(size_t size_bytes) {
  void* address = nullptr;
  check(cudaMalloc(&address, std::max<size_t>(1, size_bytes)), "cudaMalloc");
  return DeviceMemory(address);
}

PinnedMemory allocate_pinned(size_t size_bytes) {
  void* address = nullptr;
  check(cudaMallocHost(&address, std::max<size_t>(1, size_bytes)), "cudaMallocHost");
  return PinnedMemory(address);
}

}  // namespace edge_app::cuda
