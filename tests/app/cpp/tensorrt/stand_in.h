// What both stand-ins have in common: calls that fail as asked for, and a count of what was not given back.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace stand_in {

// Whether this call is to fail: the environment's STAND_IN_FAIL is CALL:N, the Nth call of this name, or CALL:N:CODE. The code of
// the failure (1 where none is said), or 0.
int fails(const std::string& call);
// Counts what was made (1) and given back (-1); the process ends with 98 where the sum of a kind is not 0 at its end.
void count(const std::string& kind, int change);
// Ends the process (97) with words: a mistake of the caller's that the real library would not forgive.
[[noreturn]] void abort_with(const std::string& words);

// Queues work on a stream, or puts it into the graph that is captured.
void enqueue(cudaStream_t stream, std::function<void()> work);
// Whether memory of the GPU has so many bytes from an address on.
bool is_device(const void* address, size_t size_bytes);
// Lets `work` read and write the GPU's memory, which ends a process that touches it otherwise.
void with_memory(const std::function<void()>& work);

}  // namespace stand_in
