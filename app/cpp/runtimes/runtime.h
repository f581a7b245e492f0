// The runtimes that this application was built with.
#pragma once

#include <memory>
#include <string>

#include "runtimes/session.h"

namespace edge_app {

struct Runtime {
  const char* title;
  // Whether it opens what it built on this board of the payload, and not the payload itself.
  bool opens_engines;
  std::string (*read_version)();
  // Of the library that this process has loaded.
  std::string (*hash_library)();
  std::unique_ptr<Session> (*open)(const Payload& payload);
};

// By its name in a manifest; nullptr for one that this application was not built with.
const Runtime* find_runtime(const std::string& name);
// Their names, for people.
std::string list_runtimes();

}  // namespace edge_app
