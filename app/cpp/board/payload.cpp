#include "board/payload.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "board/descriptor.h"
#include "board/file.h"
#include "board/hash.h"
#include "board/ownership.h"
#include "edge_app.h"

namespace edge_app {
namespace {

// Of toolchain/agent/measure/tensorrt/engine_cache.py.
const std::string kEngines = "engines/";

PayloadFile check_bytes(File file, const std::string& path, const std::string& sha256, const std::string& happened, const std::string& fix) {
  const std::string found = hash(file.bytes);
  if (found != sha256) throw Error(Code::kContent, happened, path, "sha256 " + sha256, "sha256 " + found, fix);
  return {path, std::move(file.bytes), identify(file.status)};
}

}  // namespace

PayloadFile read_payload(int release, const std::string& release_path, const Verdict& verdict, const std::set<uid_t>& owners) {
  const std::string path = release_path + "/" + verdict.release.path;
  File file = read_file(release, verdict.release.path, static_cast<size_t>(verdict.size_bytes), owners, Code::kContent, path);
  return check_bytes(std::move(file), path, verdict.release.sha256, "the payload is not the one that was proven", "deploy the bundle again");
}

PayloadFile read_engine(const std::string& root, const BuiltEngine& engine, const std::set<uid_t>& owners) {
  const std::string path = root + "/" + engine.path, folder = root + "/engines";
  const std::string name = engine.path.rfind(kEngines, 0) == 0 ? engine.path.substr(kEngines.size()) : "";
  if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos)
    throw Error(Code::kMalformed, "the verdict names an engine that is none of this board's", "engine.path", kEngines + "NAME.engine", engine.path,
                "deploy the bundle again");
  const Descriptor engines(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!engines.is_open() || fstat(engines.get(), &status) != 0)
    throw Error(Code::kContent, "the engines of the board are gone", folder, "a folder, and no link", describe_errno(), "deploy again");
  if (!may_change(status, owners)) refuse_owner(Code::kStorage, folder, status);
  File file = read_file(engines.get(), name, static_cast<size_t>(engine.size_bytes), owners, Code::kContent, path);
  return check_bytes(std::move(file), path, engine.sha256, "the engine is not the one that was proven",
                     "deploy the bundle again, which proves a new one");
}

}  // namespace edge_app
