// What was proven of a release on this board.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "board/manifest.h"
#include "edge_app.h"

namespace edge_app {

// What the runtime built of the payload, and what was proven in its place; `path` is under ROOT.
struct BuiltEngine {
  std::string path, sha256;
  uint64_t size_bytes = 0;
};

struct Verdict {
  Release release;
  Candidate candidate;
  uint64_t size_bytes = 0;
  std::string target, python;
  std::optional<BuiltEngine> engine;
  std::vector<std::string> libraries;  // sha256 of the runtime's
};

Verdict read_verdict(const nlohmann::json& document, const std::string& bundle_id, const std::string& where);

// Holds the payload against manifest and verdict; throws Error (11).
void check_proven(const Manifest& manifest, const Verdict& verdict, const std::string& where);

}  // namespace edge_app
