// A payload that a runtime has opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edge_app.h"

namespace edge_app {

// What is opened: bytes that were held against the verdict, and what the manifest says of them.
struct Payload {
  const std::string& bytes;
  const std::string& where;
  int threads;
  bool pins_threads;
  const std::vector<TensorSpec>&inputs, &outputs;
};

class Session {
 public:
  virtual ~Session() = default;
  // Host memory to host memory, of inputs that fit the manifest; may be called by several threads.
  virtual Outputs run(const Inputs& inputs) const = 0;
};

}  // namespace edge_app
