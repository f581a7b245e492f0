// Files of a board, read below a folder that is held open.
#pragma once

#include <sys/stat.h>

#include <set>
#include <string>
#include <vector>

#include "board/descriptor.h"
#include "edge_app.h"

namespace edge_app {

struct File {
  std::string bytes;
  struct stat status {};
};

struct OpenFile {
  Descriptor file;
  struct stat status {};
};

// Opens a regular file below a folder that is open, following no link and waiting for no pipe; throws Error (`code`) for any other.
OpenFile open_file(int folder, const std::string& path, const std::set<uid_t>& owners, Code code, const std::string& where);

// Bytes of an open file from a place on; throws Error (`code`) where it has fewer.
void read_part(int file, size_t offset, char* bytes, size_t count, Code code, const std::string& where);

// The whole of a file as open_file opens it, of at most so many bytes.
File read_file(int folder, const std::string& path, size_t bytes_max, const std::set<uid_t>& owners, Code code,
               const std::string& where);

// What changes when a file does.
std::vector<int64_t> identify(const struct stat& status);

}  // namespace edge_app
