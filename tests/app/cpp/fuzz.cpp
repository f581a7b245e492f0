// Reads bytes of nobody's as the application reads its board's: fuzz KIND FILE, where FILE has documents, each after its length (four
// bytes, the lowest first). It prints how many could be read; what ends in anything but a reading or an Error ends it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "board/document.h"
#include "board/manifest.h"
#include "board/verdict.h"
#include "decoders/meaning.h"
#include "golden/levels.h"
#include "golden/npy.h"

namespace {

using namespace edge_app;

void read_array(const std::string& bytes) {
  OpenFile file{Descriptor(memfd_create("array", 0)), {}};
  if (write(file.file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) || fstat(file.file.get(), &file.status) != 0)
    throw std::runtime_error("no file");
  const NpyFile array(std::move(file), "array.npy");
  const Tensor tensor = array.read_all();
  if (array.rows() > 0) array.read(array.rows() - 1, 1);
  expand_levels(tensor, Tensor{"float32", {1, 2}, std::vector<uint8_t>(8)}, "array.npy");
}

void read(const std::string& kind, const std::string& bytes) {
  if (kind == "manifest") {
    const Manifest manifest = parse(bytes, kind, [&](const nlohmann::json& document) { return read_manifest(document, kind); });
    const Meaning meaning(manifest, true);
  } else if (kind == "verdict") {
    parse(bytes, kind, [&](const nlohmann::json& document) { return read_verdict(document, std::string(64, 'a'), kind); });
  } else if (kind == "decoder") {
    make_decoder(bytes);
  } else {
    read_array(bytes);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  std::ifstream file(words[2], std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  int read_number = 0, refused = 0;
  for (size_t at = 0; at + 4 <= all.size();) {
    uint32_t length = 0;
    std::memcpy(&length, all.data() + at, 4);
    const std::string document = all.substr(at + 4, length);
    at += 4 + length;
    try {
      read(words[1], document);
      ++read_number;
    } catch (const Error&) {
      ++refused;
    } catch (const std::exception& error) {
      std::cerr << "document " << read_number + refused << " ended in " << error.what() << ": " << document.substr(0, 2000) << "\n";
      return 1;
    }
  }
  std::cout << read_number << " " << refused << "\n";
  return 0;
}
