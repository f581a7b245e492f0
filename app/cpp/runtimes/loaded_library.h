// The file of a library that this process has loaded.
#pragma once

#include <string>

namespace edge_app {

// The sha256 of the file that has a symbol; an empty text where it cannot be read.
std::string hash_library_of(const void* symbol);

}  // namespace edge_app
