// Which release is active, and the hold on it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "board/descriptor.h"

namespace edge_app {

// What changes when another release becomes active, or this one is proven anew.
struct Seen {
  std::string bundle_id;
  std::vector<int64_t> versions;
  bool operator==(const Seen& other) const { return bundle_id == other.bundle_id && versions == other.versions; }
};

Seen look(const std::string& root);

// The active release's folder, open and under a shared flock(2): no deploy removes it while that lasts.
std::pair<std::string, Descriptor> hold_active(const std::string& root);

}  // namespace edge_app
