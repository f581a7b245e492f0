// Holds golden pairs against this application's own pre- and post-processing: check_golden BUNDLE [...]. A line for each: 0, or the
// code of the error and its words.
#include <fcntl.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "board/document.h"
#include "board/file.h"
#include "golden/check_answers.h"
#include "golden/check_pictures.h"

namespace {

void check(const std::string& folder) {
  using namespace edge_app;
  const Descriptor release(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::set<uid_t> owners = {geteuid()};
  const File file = read_file(release.get(), "manifest.json", 1 << 20, owners, Code::kContent, folder);
  const Manifest manifest = parse(file.bytes, folder, [&](const nlohmann::json& document) { return read_manifest(document, folder); });
  const GoldenFolder golden{release.get(), folder, owners, manifest};
  check_pictures(golden);
  check_answers(golden, Meaning(manifest, true));
}

}  // namespace

int main(int count, char** words) {
  for (int index = 1; index < count; ++index) {
    std::string said = "0";
    try {
      check(words[index]);
    } catch (const edge_app::Error& error) {
      said = std::to_string(static_cast<int>(error.code)) + " " + error.what();
      for (char& letter : said)
        if (letter == '\n') letter = ' ';
    }
    std::cout << said << "\n";
  }
  return 0;
}
