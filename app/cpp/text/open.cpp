#include "text/open.h"

#include "board/file.h"
#include "board/hash.h"

namespace edge_app {

std::shared_ptr<const Tokenizer> open_tokenizer(const GoldenFolder& golden) {
  const Manifest& manifest = golden.manifest;
  if (!manifest.text) return nullptr;
  const std::string& path = manifest.text->file;
  const std::string where = golden.release_path + "/" + path;
  std::string vocabulary;
  if (!path.empty()) {
    const auto entry = manifest.files.find(path);
    if (entry == manifest.files.end())
      throw Error(Code::kMalformed, "the manifest does not list the tokenizer's file", where, "an entry in files", "none", "deploy the bundle again");
    vocabulary = read_file(golden.release, path, static_cast<size_t>(entry->second.size_bytes), golden.owners, Code::kContent, where).bytes;
    if (hash(vocabulary) != entry->second.sha256)
      throw Error(Code::kContent, "the tokenizer's file is not the one that was proven", where, "sha256 " + entry->second.sha256,
                  "sha256 " + hash(vocabulary), "deploy the bundle again");
  }
  return std::make_shared<const Tokenizer>(*manifest.text, vocabulary, where);
}

}  // namespace edge_app
