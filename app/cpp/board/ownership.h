// Who may change what lies on a board.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <set>
#include <string>

#include "edge_app.h"

namespace edge_app {

bool may_change(const struct stat& status, const std::set<uid_t>& owners);

[[noreturn]] void refuse_owner(Code code, const std::string& path, const struct stat& status);

// Of a folder and of all above it, as toolchain/agent/ownership.py: what others can change leads nowhere that is ours.
void check_folders(std::string path, const std::set<uid_t>& owners);

// The path without links; throws Error (2) where there is none.
std::string resolve(const std::string& path);

}  // namespace edge_app
