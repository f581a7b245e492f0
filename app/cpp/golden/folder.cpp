#include "golden/folder.h"

namespace edge_app {

NpyFile GoldenFolder::open(const std::string& path) const {
  const std::string where = release_path + "/" + path;
  if (!manifest.files.count(path))
    throw Error(Code::kMalformed, "the manifest names a golden file that it does not list", where, "an entry in files", "none", "deploy the bundle again");
  return NpyFile(open_file(release, path, owners, Code::kContent, where), where);
}

}  // namespace edge_app
