// Files of a board, read below a folder that is held open.
#pragma once

#include <sys/stat.h>

#include <set>
#include <string>
#include <vector>

#include "edge_app.h"

namespace edge_app {

struct File {
  std::string bytes;
  struct stat status {};
};

// Reads a regular file below a folder that is open, following no link and waiting for no pipe.
File read_file(int folder, const std::string& path, size_t bytes_max, const std::set<uid_t>& owners, Code code,
               const std::string& where);

// What changes when a file does.
std::vector<int64_t> identify(const struct stat& status);

}  // namespace edge_app
