#include "board/file.h"

#include <fcntl.h>
#include <unistd.h>

#include "board/descriptor.h"
#include "board/ownership.h"

namespace edge_app {
namespace {

// A path leads nowhere but downwards, as toolchain/agent/bundle_files.py has it.
void check_name(const std::string& name, const std::string& where) {
  if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos)
    throw Error(Code::kMalformed, "a path of a file is none", where, "names of folders and a file", name.empty() ? "an empty name" : name.c_str(),
                "deploy the bundle again");
}

}  // namespace

OpenFile open_file(int folder, const std::string& path, const std::set<uid_t>& owners, Code code, const std::string& where) {
  Descriptor parent;
  int at = folder;
  size_t begin = 0;
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', begin)) {
    const std::string name = path.substr(begin, slash - begin);
    check_name(name, where);
    Descriptor next(openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.is_open())
      throw Error(code, "a file of the board is gone", where, "a folder, and no link", describe_errno(), "deploy again");
    parent = std::move(next);
    at = parent.get();
    begin = slash + 1;
  }
  check_name(path.substr(begin), where);
  OpenFile found{Descriptor(openat(at, path.substr(begin).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)), {}};
  if (!found.file.is_open() || fstat(found.file.get(), &found.status) != 0)
    throw Error(code, "a file of the board is gone", where, "a regular file, and no link", describe_errno(), "deploy again");
  if (!S_ISREG(found.status.st_mode))
    throw Error(code, "what lies on the board is no file of ours", where, "a regular file", "something else", "deploy again");
  if (!may_change(found.status, owners)) refuse_owner(code, where, found.status);
  return found;
}

void read_part(int file, size_t offset, char* bytes, size_t count, Code code, const std::string& where) {
  for (size_t done = 0; done < count;) {
    const ssize_t got = pread(file, bytes + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw Error(code, "a file of the board cannot be read", where, std::to_string(offset + count) + " bytes",
                  got < 0 ? describe_errno() : std::to_string(offset + done) + " bytes", "look at the disk, and deploy again");
    done += static_cast<size_t>(got);
  }
}

File read_file(int folder, const std::string& path, size_t bytes_max, const std::set<uid_t>& owners, Code code,
               const std::string& where) {
  const OpenFile open = open_file(folder, path, owners, code, where);
  if (static_cast<uint64_t>(open.status.st_size) > bytes_max)
    throw Error(code, "a file of the board is too large", where, "at most " + std::to_string(bytes_max) + " bytes",
                std::to_string(open.status.st_size) + " bytes", "deploy again");
  File found{std::string(static_cast<size_t>(open.status.st_size), '\0'), open.status};
  read_part(open.file.get(), 0, found.bytes.data(), found.bytes.size(), code, where);
  return found;
}

std::vector<int64_t> identify(const struct stat& status) {
  return {static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino), static_cast<int64_t>(status.st_size),
          status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
}

}  // namespace edge_app
