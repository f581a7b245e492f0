// Texts made tokens, as toolchain/agent/measure/preprocess/ does it (docs/input_output.md): the same numbers for the same text.
#pragma once

#include <optional>
#include <unordered_map>

#include "edge_app.h"
#include "text/byte_bpe.h"
#include "text/spec.h"

namespace edge_app {

class Tokenizer {
 public:
  // vocabulary: the bytes of its file, none of a tokenizer of bytes. Throws Error (23) for one that is none, and for a tokenizer that
  // is not known here.
  Tokenizer(TextSpec spec, const std::string& vocabulary, const std::string& where);

  // The numbers of a text's tokens, at most `length`, without what fills up; throws FrameError for what is no UTF-8, or too long.
  std::vector<int64_t> number(const std::string& utf8) const;

  // The inputs (1, length) of a text, each in the type that the payload takes.
  Outputs tokenize(const std::string& utf8, const std::vector<TensorSpec>& inputs) const;

 private:
  void add_word(const std::u32string& word, std::vector<int64_t>& numbers) const;
  void cut(const std::u32string& text, std::vector<int64_t>& numbers) const;

  TextSpec spec_;
  std::unordered_map<std::string, int64_t> numbers_;
  std::optional<ByteBpe> bpe_;
  int64_t padding_ = 0, unknown_ = 0;
  size_t longest_ = 0;
};

}  // namespace edge_app
