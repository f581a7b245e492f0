// The file of what was proven, read once and held against the verdict.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "board/verdict.h"

namespace edge_app {

struct PayloadFile {
  std::string path, bytes;
  std::vector<int64_t> identity;  // of identify()
};

// The payload of a release that is held open by its folder, at `release_path`; throws Error (11) for other bytes than the proven ones.
PayloadFile read_payload(int release, const std::string& release_path, const Verdict& verdict, const std::set<uid_t>& owners);

// The engine that was built of it on this board; throws Error (11) as read_payload, 23 for a path that is none of an engine, 14 where
// others could change the engines.
PayloadFile read_engine(const std::string& root, const BuiltEngine& engine, const std::set<uid_t>& owners);

}  // namespace edge_app
