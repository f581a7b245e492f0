// The golden files of a release that is held open.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>

#include "board/manifest.h"
#include "golden/npy.h"

namespace edge_app {

struct GoldenFolder {
  int release;
  const std::string& release_path;
  const std::set<uid_t>& owners;
  const Manifest& manifest;

  // Throws Error: 23 for a path that the manifest does not list, and for what is no array; 11 where the file is gone. Its bytes are not
  // hashed, which would read all samples of which a few are needed: one that was changed can refuse, and makes no decoder right.
  NpyFile open(const std::string& path) const;
};

}  // namespace edge_app
