// What is used of the CUDA runtime, each call checked, each thing given back with its owner. Not yet run on hardware.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

namespace edge_app::cuda {

// Throws Error for what is not cudaSuccess: 12 with a fix where a user can act on it (of memory, of the driver), 1 otherwise.
void check(cudaError_t code, const char* call);

// Makes the first device that of this thread while it lives, as toolchain/agent/measure/tensorrt/cuda.py: CUDA_VISIBLE_DEVICES
// chooses. An application may have chosen another for its own work.
class Device {
 public:
  Device();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

 private:
  int before_ = 0;
};

template <typename Kind, cudaError_t (*Destroy)(Kind)>
struct GiveBack {
  using pointer = Kind;
  void operator()(Kind kind) const { Destroy(kind); }
};

using Stream = std::unique_ptr<cudaStream_t, GiveBack<cudaStream_t, cudaStreamDestroy>>;
using Graph = std::unique_ptr<cudaGraph_t, GiveBack<cudaGraph_t, cudaGraphDestroy>>;
using Executable = std::unique_ptr<cudaGraphExec_t, GiveBack<cudaGraphExec_t, cudaGraphExecDestroy>>;
// Bytes of the GPU's memory, and of the host's that the GPU copies from and to without a detour.
using DeviceMemory = std::unique_ptr<void, GiveBack<void*, cudaFree>>;
using PinnedMemory = std::unique_ptr<void, GiveBack<void*, cudaFreeHost>>;

Stream create_stream();
// Of no bytes too: an empty tensor has an address all the same.
DeviceMemory allocate(size_t size_bytes);
PinnedMemory allocate_pinned(size_t size_bytes);

}  // namespace edge_app::cuda
