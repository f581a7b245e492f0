#include "board/ownership.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "board/descriptor.h"

namespace edge_app {

bool may_change(const struct stat& status, const std::set<uid_t>& owners) {
  // Stricter than the agent, which lets a group of one's own write: whose group that is costs a look at every account.
  return owners.count(status.st_uid) && !(status.st_mode & (S_IWOTH | S_IWGRP));
}

void refuse_owner(Code code, const std::string& path, const struct stat& status) {
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(status.st_mode & 07777));
  throw Error(code, "others can change what lies on the board", path, "nobody but the one who deploys, and root, may write",
              "user " + std::to_string(status.st_uid) + ", mode " + mode, "look at what it is, then: chmod go-w " + path);
}

void check_folders(std::string path, const std::set<uid_t>& owners) {
  for (bool is_own = true;; is_own = false) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0)
      throw Error(Code::kUsage, "there is no such folder", path, "a board's ROOT", describe_errno(), "correct the path");
    const bool is_sticky = !is_own && (status.st_mode & S_ISVTX) && owners.count(status.st_uid);
    std::set<uid_t> trusted = owners;
    if (!is_own) trusted.insert(65534);  // how a container shows the owner of its / (user_namespaces(7))
    if (!is_sticky && !may_change(status, trusted)) refuse_owner(Code::kStorage, path, status);
    if (path == "/") return;
    const size_t slash = path.rfind('/');
    path = slash == 0 ? "/" : path.substr(0, slash);
  }
}

std::string resolve(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  if (!real)
    throw Error(Code::kUsage, "there is no board", path, "a board's ROOT", describe_errno(),
                "deploy a bundle to this ROOT first, or correct the path");
  return real.get();
}

}  // namespace edge_app
