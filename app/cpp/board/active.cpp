#include "board/active.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "board/file.h"
#include "edge_app.h"

namespace edge_app {
namespace {

// A deploy that is at it is waited for: its renames take milliseconds.
constexpr int kHoldAttempts = 100;
constexpr auto kPause = std::chrono::milliseconds(20);

std::string read_link(const std::string& path) {
  char target[4096];
  const ssize_t length = readlink(path.c_str(), target, sizeof target);
  return length > 0 && length < static_cast<ssize_t>(sizeof target) ? std::string(target, static_cast<size_t>(length)) : "";
}

bool is_bundle_id(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

Seen look(const std::string& root) {
  const std::string target = read_link(root + "/current");
  Seen seen{target.substr(target.rfind('/') + 1), {}};
  for (const std::string& path : {root + "/verdicts/" + seen.bundle_id + ".json", root + "/state.json"}) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) continue;
    for (const int64_t number : identify(status)) seen.versions.push_back(number);
    seen.versions.push_back(-1);
  }
  return seen;
}

std::pair<std::string, Descriptor> hold_active(const std::string& root) {
  const std::string link = root + "/current";
  bool is_locked = false;
  for (int attempt = 0; attempt < kHoldAttempts; ++attempt, std::this_thread::sleep_for(kPause)) {
    const std::string target = read_link(link);
    struct stat status {};
    if (target.empty() && lstat(link.c_str(), &status) != 0)
      throw Error(Code::kUsage, "no release is active", link, "a link that a deploy made", "none",
                  "deploy a bundle to this ROOT first, or correct the path");
    const std::string bundle_id = target.substr(target.rfind('/') + 1);
    if (target != "releases/" + bundle_id || !is_bundle_id(bundle_id))
      throw Error(Code::kMalformed, "current is not a link to a release", link, "releases/BUNDLE_ID",
                  target.empty() ? "no link" : target, "move it away, and deploy again");
    const std::string path = root + "/" + target;
    Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder.is_open()) continue;
    is_locked = flock(folder.get(), LOCK_SH | LOCK_NB) != 0;
    if (is_locked) continue;
    // What was removed before it was held is not active any more: the next look finds what is.
    struct stat held {};
    if (fstat(folder.get(), &held) == 0 && lstat(path.c_str(), &status) == 0 && held.st_ino == status.st_ino &&
        held.st_dev == status.st_dev && read_link(link) == target)
      return {bundle_id, std::move(folder)};
  }
  if (is_locked)
    throw Error(Code::kBusy, "another process keeps the active release for itself", link, "shared locks on its folder",
                "an exclusive one", "find it with `fuser`, and end it");
  throw Error(Code::kContent, "the release that was active is gone", link, "a release", "a link to nothing",
              "deploy again; find out who removed it");
}

}  // namespace edge_app
