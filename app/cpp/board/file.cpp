#include "board/file.h"

#include <fcntl.h>
#include <unistd.h>

#include "board/descriptor.h"
#include "board/ownership.h"

namespace edge_app {

File read_file(int folder, const std::string& path, size_t bytes_max, const std::set<uid_t>& owners, Code code,
               const std::string& where) {
  Descriptor parent;
  int at = folder;
  size_t begin = 0;
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', begin)) {
    Descriptor next(openat(at, path.substr(begin, slash - begin).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.is_open())
      throw Error(code, "a file of the board is gone", where, "a folder, and no link", describe_errno(), "deploy again");
    parent = std::move(next);
    at = parent.get();
    begin = slash + 1;
  }
  Descriptor file(openat(at, path.substr(begin).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  File found;
  if (!file.is_open() || fstat(file.get(), &found.status) != 0)
    throw Error(code, "a file of the board is gone", where, "a regular file, and no link", describe_errno(), "deploy again");
  if (!S_ISREG(found.status.st_mode))
    throw Error(code, "what lies on the board is no file of ours", where, "a regular file", "something else", "deploy again");
  if (!may_change(found.status, owners)) refuse_owner(code, where, found.status);
  if (static_cast<uint64_t>(found.status.st_size) > bytes_max)
    throw Error(code, "a file of the board is too large", where, "at most " + std::to_string(bytes_max) + " bytes",
                std::to_string(found.status.st_size) + " bytes", "deploy again");
  found.bytes.resize(static_cast<size_t>(found.status.st_size));
  for (size_t done = 0; done < found.bytes.size();) {
    const ssize_t count = read(file.get(), &found.bytes[done], found.bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      throw Error(code, "a file of the board cannot be read", where, std::to_string(found.bytes.size()) + " bytes",
                  count < 0 ? describe_errno() : std::to_string(done) + " bytes", "look at the disk, and deploy again");
    done += static_cast<size_t>(count);
  }
  return found;
}

std::vector<int64_t> identify(const struct stat& status) {
  return {static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino), static_cast<int64_t>(status.st_size),
          status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
}

}  // namespace edge_app
