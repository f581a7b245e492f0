// Makes tokens of texts without a board, for the tests and for a look:
//
//     edge_app_tokenize TOKENIZER LENGTH VOCABULARY TEXTS [lowercase] [strip_accents] [split_cjk] [special_in_text]
//
// VOCABULARY is a file, of bytes an empty one; TEXTS has one text after another, each behind its size in bytes (uint32). A line for each text on
// stdout has its numbers, or what is wrong with it.
#include <cstring>
#include <iostream>

#include "programs/words.h"
#include "text/tokenizer.h"

namespace {

int run(const edge_app::Words& words) {
  const std::vector<std::string>& plain = words.plain;
  if (plain.size() < 4) {
    std::cerr << "usage: edge_app_tokenize TOKENIZER LENGTH VOCABULARY TEXTS [SETTING ...]\n";
    return 2;
  }
  edge_app::TextSpec spec;
  spec.tokenizer = plain[0];
  spec.length = std::atoll(plain[1].c_str());
  spec.ids = "ids";
  for (size_t index = 4; index < plain.size(); ++index) {
    spec.lowercase |= plain[index] == "lowercase";
    spec.strip_accents |= plain[index] == "strip_accents";
    spec.split_cjk |= plain[index] == "split_cjk";
    spec.special_in_text |= plain[index] == "special_in_text";
  }
  const std::vector<uint8_t> vocabulary = edge_app::read_bytes(plain[2]), bytes = edge_app::read_bytes(plain[3]);
  const edge_app::Tokenizer tokenizer(spec, {vocabulary.begin(), vocabulary.end()}, plain[2]);
  const std::string texts(bytes.begin(), bytes.end());
  uint32_t size = 0;
  for (size_t at = 0; at + sizeof size <= texts.size(); at += size) {
    std::memcpy(&size, texts.data() + at, sizeof size);
    at += sizeof size;
    try {
      for (const int64_t number : tokenizer.number(texts.substr(at, size))) std::cout << number << " ";
    } catch (const edge_app::FrameError& error) {
      std::cout << "refused: " << error.found;
    }
    std::cout << "\n";
  }
  return 0;
}

}  // namespace

int main(int count, char** words) { return edge_app::run_program(count, words, {}, run); }
