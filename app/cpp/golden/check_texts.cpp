#include "golden/check_texts.h"

#include <algorithm>

#include "tensor.h"

namespace edge_app {
namespace {

[[noreturn]] void refuse_texts(const std::string& where, const std::string& found) {
  throw Error(Code::kMalformed, "the golden texts are none", where, "texts and where they end", found, "write the bundle again");
}

std::vector<std::string> read_texts(const GoldenFolder& golden) {
  const Golden& files = golden.manifest.golden;
  const NpyFile utf8 = golden.open(files.texts_utf8), offsets = golden.open(files.texts_offsets);
  if (utf8.dtype() != "uint8" || utf8.shape().size() != 1) refuse_texts(utf8.where(), utf8.dtype() + " " + write_shape(utf8.shape()));
  if (offsets.dtype() != "int64" || offsets.shape().size() != 1 || offsets.rows() < 2)
    refuse_texts(offsets.where(), offsets.dtype() + " " + write_shape(offsets.shape()));
  const Tensor bytes = utf8.read_all(), ends = offsets.read_all();
  const auto* end = ends.as<int64_t>();
  if (end[0] != 0 || end[offsets.rows() - 1] != utf8.rows() || !std::is_sorted(end, end + offsets.rows()))
    refuse_texts(offsets.where(), "other places");
  std::vector<std::string> texts;
  const std::string all(bytes.bytes.begin(), bytes.bytes.end());
  for (int64_t index = 0; index + 1 < offsets.rows(); ++index)
    texts.push_back(all.substr(static_cast<size_t>(end[index]), static_cast<size_t>(end[index + 1] - end[index])));
  return texts;
}

}  // namespace

void check_texts(const GoldenFolder& golden, const Tokenizer* tokenizer) {
  const Golden& files = golden.manifest.golden;
  if (!tokenizer || files.texts_utf8.empty()) return;
  const std::vector<std::string> texts = read_texts(golden);
  std::vector<Outputs> made;
  for (const std::string& text : texts) made.push_back(tokenizer->tokenize(text, golden.manifest.inputs));
  for (const auto& [name, path] : files.texts_inputs) {
    const NpyFile file = golden.open(path);
    if (file.rows() != static_cast<int64_t>(texts.size())) refuse_texts(file.where(), std::to_string(file.rows()) + " rows");
    for (size_t index = 0; index < texts.size(); ++index) {
      const Tensor expected = file.read(static_cast<int64_t>(index), 1);
      const auto found = made[index].find(name);
      if (found == made[index].end() || found->second.dtype != expected.dtype || found->second.shape != expected.shape || found->second.bytes != expected.bytes)
        throw Error(Code::kParity, "this application makes other tokens of a golden text than the board's agent", file.where(),
                    "the same numbers", "others of text " + std::to_string(index), "build the application with the app/cpp of the toolchain that deployed");
    }
  }
}

}  // namespace edge_app
