#include "runtimes/loaded_library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "board/descriptor.h"
#include "board/hash.h"

namespace edge_app {

std::string hash_library_of(const void* symbol) {
  Dl_info info{};
  if (!dladdr(symbol, &info) || !info.dli_fname) return "";
  Descriptor file(open(info.dli_fname, O_RDONLY | O_CLOEXEC));
  std::vector<char> block(1 << 20);
  return hash_blocks([&] {
    const ssize_t count = file.is_open() ? read(file.get(), block.data(), block.size()) : 0;
    return std::make_pair(static_cast<const char*>(block.data()), static_cast<size_t>(std::max<ssize_t>(count, 0)));
  });
}

}  // namespace edge_app
