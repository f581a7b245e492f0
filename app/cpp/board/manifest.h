// What a bundle's manifest says that an application needs.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "edge_app.h"
#include "picture/spec.h"

namespace edge_app {

struct Entry {
  uint64_t size_bytes;
  std::string sha256;
};

struct Manifest {
  std::string model, target, runtime;
  int threads = 1;
  bool is_stacked = false;
  std::vector<TensorSpec> inputs, outputs;
  std::map<std::string, std::string> candidates;  // path by precision
  std::map<std::string, Entry> files;
  std::optional<PictureSpec> picture;
  std::vector<std::string> classes;
  std::string decoder;  // as JSON; empty where outputs are answers
};

Manifest read_manifest(const nlohmann::json& document, const std::string& where);

}  // namespace edge_app
