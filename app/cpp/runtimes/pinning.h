// Threads that each keep to one CPU, as toolchain/agent/measure/pinning.py has them.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace edge_app {

class PinnedThreads {
 public:
  // Chooses a CPU for each thread but the caller's own; throws Error (12) where this process may use fewer than `threads`.
  PinnedThreads(int threads, std::string where);

  // As ONNX Runtime takes them: logical processors, counted from 1.
  std::string name_affinities() const;
  // Throws Error (12) where no thread that was started since keeps to one of the CPUs.
  void check() const;

 private:
  std::string where_;
  std::vector<int> cpus_;
  std::set<std::string> before_;
};

}  // namespace edge_app
