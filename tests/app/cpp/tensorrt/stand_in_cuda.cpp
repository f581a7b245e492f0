// A GPU without hardware: memory that no host code may touch, streams that do nothing until they are waited for, graphs.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "stand_in.h"

using Work = std::vector<std::function<void()>>;

struct CUstream_st {
  Work queued;
  bool is_capturing = false;
  std::atomic<bool> is_busy{false};
  Work captured;
};
struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  Work work;
};

namespace {

std::recursive_mutex mutex;
std::map<const char*, size_t> device_memory, pinned_memory;
thread_local int device = 0;
thread_local cudaError_t last = cudaSuccess;
constexpr int kDevices = 2;

std::map<std::string, int>& list_counts() {
  static auto& counts = *new std::map<std::string, int>;
  return counts;
}

size_t round_up(size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

bool is_within(const std::map<const char*, size_t>& memory, const void* address, size_t size_bytes) {
  const auto* at = static_cast<const char*>(address);
  auto found = memory.upper_bound(at);
  return found != memory.begin() && (--found, at + size_bytes <= found->first + found->second);
}

cudaError_t fail(cudaError_t code) { return last = code; }

cudaError_t fails(const char* call) {
  const int code = stand_in::fails(call);
  return code ? fail(static_cast<cudaError_t>(code)) : cudaSuccess;
}

// While a call of a stream lasts, no other thread may call it: what one has laid out would be run for another.
class Busy {
 public:
  explicit Busy(cudaStream_t stream) : stream_(stream) {
    if (stream_->is_busy.exchange(true)) stand_in::abort_with("two threads in one stream");
    for (int turn = 0; turn < 100; ++turn) std::this_thread::yield();
  }
  ~Busy() { stream_->is_busy = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  cudaStream_t stream_;
};

__attribute__((destructor)) void check_given_back() {
  for (const auto& [kind, number] : list_counts())
    if (number != 0) {
      std::fprintf(stderr, "stand-in: %d of %s were not given back\n", number, kind.c_str());
      _exit(98);
    }
}

}  // namespace

namespace stand_in {

int fails(const std::string& call) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  static auto& calls = *new std::map<std::string, int>;
  const int number = ++calls[call];
  const char* asked = std::getenv("STAND_IN_FAIL");
  if (!asked || std::strncmp(asked, call.c_str(), call.size()) != 0 || asked[call.size()] != ':') return 0;
  int wanted = 0, code = 1;
  std::sscanf(asked + call.size() + 1, "%d:%d", &wanted, &code);
  return wanted == number ? code : 0;
}

void count(const std::string& kind, int change) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  list_counts()[kind] += change;
}

void abort_with(const std::string& words) {
  std::fprintf(stderr, "stand-in: %s\n", words.c_str());
  _exit(97);
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  (stream->is_capturing ? stream->captured : stream->queued).push_back(std::move(work));
}

bool is_device(const void* address, size_t size_bytes) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  return is_within(device_memory, address, size_bytes);
}

void with_memory(const std::function<void()>& work) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  for (const auto& [address, size] : device_memory) mprotect(const_cast<char*>(address), round_up(size), PROT_READ | PROT_WRITE);
  work();
  for (const auto& [address, size] : device_memory) mprotect(const_cast<char*>(address), round_up(size), PROT_NONE);
}

}  // namespace stand_in

extern "C" {

cudaError_t cudaGetLastError(void) { return std::exchange(last, cudaSuccess); }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    default: return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t) { return "as it was asked for"; }

cudaError_t cudaSetDevice(int number) {
  if (cudaError_t code = fails("cudaSetDevice")) return code;
  if (number < 0 || number >= kDevices) return fail(cudaErrorInvalidValue);
  device = number;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* number) {
  if (cudaError_t code = fails("cudaGetDevice")) return code;
  *number = device;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** address, size_t size) {
  if (cudaError_t code = fails("cudaMalloc")) return code;
  if (device != 0) stand_in::abort_with("memory of another device");
  void* made = mmap(nullptr, round_up(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
  std::lock_guard<std::recursive_mutex> lock(mutex);
  device_memory[static_cast<char*>(made)] = size;
  stand_in::count("cudaMalloc", 1);
  *address = made;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  if (!address) return cudaSuccess;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  const auto found = device_memory.find(static_cast<char*>(address));
  if (found == device_memory.end()) stand_in::abort_with("cudaFree of what is no memory of the GPU");
  munmap(address, round_up(found->second));
  device_memory.erase(found);
  stand_in::count("cudaMalloc", -1);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** address, size_t size) {
  if (cudaError_t code = fails("cudaMallocHost")) return code;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  *address = std::malloc(size);
  std::memset(*address, 0xCD, size);
  pinned_memory[static_cast<char*>(*address)] = size;
  stand_in::count("cudaMallocHost", 1);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* address) {
  if (!address) return cudaSuccess;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!pinned_memory.erase(static_cast<char*>(address))) stand_in::abort_with("cudaFreeHost of what is no pinned memory");
  std::free(address);
  stand_in::count("cudaMallocHost", -1);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  if (cudaError_t code = fails("cudaStreamCreateWithFlags")) return code;
  *stream = new CUstream_st;
  stand_in::count("cudaStreamCreateWithFlags", 1);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream) stand_in::count("cudaStreamCreateWithFlags", -1);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (cudaError_t code = fails("cudaStreamSynchronize")) return code;
  if (!stream) return cudaSuccess;
  if (stream->is_capturing) return fail(cudaErrorStreamCaptureUnsupported);
  const Busy busy(stream);
  for (const auto& work : std::exchange(stream->queued, {})) work();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) {
  if (cudaError_t code = fails("cudaMemcpyAsync")) return code;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  const bool is_in = kind == cudaMemcpyHostToDevice;
  if (!is_within(device_memory, is_in ? target : source, size) || !is_within(pinned_memory, is_in ? source : target, size))
    return fail(cudaErrorInvalidValue);
  // A graph reads what lies there when it is launched.
  const bool is_watched = is_in && !stream->is_capturing;
  const auto* from = static_cast<const char*>(source);
  const std::vector<char> given(from, is_watched ? from + size : from);
  stand_in::enqueue(stream, [=] {
    if (is_watched && !std::equal(given.begin(), given.end(), from)) stand_in::abort_with("host memory was written while it was being copied");
    stand_in::with_memory([=] { std::memcpy(target, source, size); });
  });
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode) {
  if (cudaError_t code = fails("cudaStreamBeginCapture")) return code;
  if (!stream->queued.empty()) stand_in::abort_with("a capture of a stream at work");
  stream->is_capturing = true;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream->is_capturing) return fail(cudaErrorInvalidValue);
  stream->is_capturing = false;
  Work captured = std::exchange(stream->captured, {});
  if (cudaError_t code = fails("cudaStreamEndCapture")) return code;
  *graph = new CUgraph_st{std::move(captured)};
  stand_in::count("cudaStreamEndCapture", 1);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (cudaError_t code = fails("cudaGraphInstantiate")) return code;
  *executable = new CUgraphExec_st{graph->work};
  stand_in::count("cudaGraphInstantiate", 1);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (cudaError_t code = fails("cudaGraphLaunch")) return code;
  const Busy busy(stream);
  for (const auto& work : executable->work) stand_in::enqueue(stream, work);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph) stand_in::count("cudaStreamEndCapture", -1);
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (executable) stand_in::count("cudaGraphInstantiate", -1);
  delete executable;
  return cudaSuccess;
}

}  // extern "C"
