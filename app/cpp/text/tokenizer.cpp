#include "text/tokenizer.h"

#include <algorithm>

#include "text/characters.h"
#include "text/utf8.h"

namespace edge_app {
namespace {

using Text = std::u32string;

constexpr size_t kTextBytesMax = 1 << 20;
constexpr size_t kVocabularyBytesMax = 16 << 20;
// A longer word is unknown as a whole.
constexpr size_t kLettersMax = 100;
constexpr int64_t kFirstByte = 1;
constexpr const char* kSpecial[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

Text normalize(const Text& text, const TextSpec& spec) {
  Text clean;
  for (const char32_t code : text) {
    if (is_removed(code)) continue;
    const bool is_sign = spec.split_cjk && is_cjk(code);
    if (is_sign) clean += U' ';
    clean += is_space(code) ? U' ' : code;
    if (is_sign) clean += U' ';
  }
  if (spec.strip_accents) {
    Text parts;
    for (const char32_t code : clean) decompose(code, parts);
    order_marks(parts);
    parts.erase(std::remove_if(parts.begin(), parts.end(), is_accent), parts.end());
    clean = std::move(parts);
  }
  if (!spec.lowercase) return clean;
  Text lowered;
  for (const char32_t code : clean) lower(code, lowered);
  return lowered;
}

[[noreturn]] void refuse_vocabulary(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Code::kMalformed, "the tokenizer's vocabulary cannot be used", where, expected, found, "deploy the bundle again");
}

[[noreturn]] void refuse_text(const std::string& expected, const std::string& found) {
  throw FrameError(Code::kUsage, "the text cannot be tokenized", "text", expected, found,
                   "give the text as it was read, in UTF-8; a long one in parts");
}

template <typename Number>
void fill(Tensor& tensor, const std::vector<int64_t>& values) {
  tensor.bytes.resize(values.size() * sizeof(Number));
  auto* numbers = reinterpret_cast<Number*>(tensor.bytes.data());
  std::transform(values.begin(), values.end(), numbers, [](int64_t value) { return static_cast<Number>(value); });
}

}  // namespace

Tokenizer::Tokenizer(TextSpec spec, const std::string& vocabulary, const std::string& where) : spec_(std::move(spec)) {
  const bool is_word = spec_.tokenizer == "wordpiece", is_bpe = spec_.tokenizer == "byte_bpe";
  if (!is_word && !is_bpe && spec_.tokenizer != "characters" && spec_.tokenizer != "bytes")
    throw Error(Code::kMalformed, "the tokenizer is not known here", where + ": input.text.tokenizer", "bytes, characters, wordpiece or byte_bpe",
                spec_.tokenizer, "build the application with the text/tokenizer.cpp of the toolchain that deployed");
  if (spec_.length < (is_word ? 3 : 1) || spec_.length > 1 << 16)
    throw Error(Code::kMalformed, "a text has no such length", where + ": input.text.length", is_word ? "3 to 65536" : "1 to 65536",
                std::to_string(spec_.length), "deploy the bundle again");
  if (spec_.tokenizer == "bytes") return;
  if (is_bpe) {
    bpe_.emplace(vocabulary, where);
    padding_ = bpe_->padding;
    const size_t least = bpe_->begin.size() + bpe_->end.size() + 1;
    if (static_cast<size_t>(spec_.length) < least)
      throw Error(Code::kMalformed, "the tokens at both ends leave no room for a text", where + ": input.text.length",
                  std::to_string(least) + " or more", std::to_string(spec_.length), "deploy the bundle again");
    return;
  }
  if (vocabulary.size() > kVocabularyBytesMax)
    refuse_vocabulary(where, std::to_string(kVocabularyBytesMax) + " bytes", std::to_string(vocabulary.size()));
  for (size_t start = 0; start < vocabulary.size();) {
    const size_t end = std::min(vocabulary.find('\n', start), vocabulary.size());
    const std::string token = vocabulary.substr(start, end - start);
    const auto number = static_cast<int64_t>(numbers_.size());
    if (token.empty() || !numbers_.emplace(token, number).second)
      refuse_vocabulary(where + ", line " + std::to_string(number + 1), "a token of its own in each line", "'" + token + "'");
    const auto [characters, wrong] = decode_utf8(token);
    if (wrong != std::string::npos) refuse_vocabulary(where + ", line " + std::to_string(number + 1), "UTF-8", "other bytes");
    longest_ = std::max(longest_, characters.size());
    start = end + 1;
  }
  for (const char* needed : kSpecial) {
    const bool is_needed = std::string(needed) != "[MASK]" && (is_word || std::string(needed) == "[PAD]" || std::string(needed) == "[UNK]");
    if (is_needed && !numbers_.count(needed)) refuse_vocabulary(where, std::string("a line ") + needed, "none");
  }
  padding_ = numbers_.at("[PAD]");
  unknown_ = numbers_.at("[UNK]");
}

std::vector<int64_t> Tokenizer::number(const std::string& utf8) const {
  const auto [text, wrong] = decode_utf8(utf8);
  if (wrong != std::string::npos) refuse_text("UTF-8: whole characters", "another byte at " + std::to_string(wrong));
  if (utf8.size() > kTextBytesMax) refuse_text("at most " + std::to_string(kTextBytesMax) + " bytes of UTF-8", std::to_string(utf8.size()));
  const auto length = static_cast<size_t>(spec_.length);
  std::vector<int64_t> numbers;
  if (spec_.tokenizer == "bytes") {
    for (size_t at = 0; at < std::min(length, utf8.size()); ++at) numbers.push_back(kFirstByte + static_cast<unsigned char>(utf8[at]));
    return numbers;
  }
  if (bpe_) {
    const size_t room = length - bpe_->end.size();
    numbers = bpe_->begin;
    bpe_->cut(utf8, spec_.special_in_text, room, numbers);
    numbers.resize(std::min(numbers.size(), room));
    numbers.insert(numbers.end(), bpe_->end.begin(), bpe_->end.end());
    return numbers;
  }
  if (spec_.tokenizer == "characters") {
    for (size_t at = 0; at < std::min(length, text.size()); ++at) {
      std::string letter;
      append_utf8(text[at], letter);
      const auto found = numbers_.find(letter);
      numbers.push_back(found == numbers_.end() ? unknown_ : found->second);
    }
    return numbers;
  }
  numbers.push_back(numbers_.at("[CLS]"));
  cut(text, numbers);
  numbers.resize(std::min(numbers.size(), length - 1));
  numbers.push_back(numbers_.at("[SEP]"));
  return numbers;
}

// Where a text may say [SEP] and mean it, what stands between such tokens is a text of its own.
void Tokenizer::cut(const Text& text, std::vector<int64_t>& numbers) const {
  const auto cut_part = [&](const Text& part) {
    Text word;
    const auto end_word = [&] {
      if (!word.empty()) add_word(word, numbers);
      word.clear();
    };
    for (const char32_t code : normalize(part, spec_)) {
      const bool is_sign = is_punctuation(code);
      if (is_sign || is_space(code)) end_word();
      if (is_sign || !is_space(code)) word += code;
      if (is_sign) end_word();
    }
    end_word();
  };
  size_t begin = 0;
  for (size_t at = 0; spec_.special_in_text && at < text.size(); ++at) {
    if (text[at] != U'[') continue;
    for (const char* name : kSpecial) {
      const std::string special = name;
      const bool is_here = numbers_.count(special) && text.compare(at, special.size(), Text(special.begin(), special.end())) == 0;
      if (!is_here) continue;
      cut_part(text.substr(begin, at - begin));
      numbers.push_back(numbers_.at(special));
      begin = at + special.size();
      at = begin - 1;
      break;
    }
  }
  cut_part(text.substr(begin));
}

void Tokenizer::add_word(const Text& word, std::vector<int64_t>& numbers) const {
  if (word.size() > kLettersMax) {
    numbers.push_back(unknown_);
    return;
  }
  std::string bytes;
  std::vector<size_t> ends = {0};
  for (const char32_t code : word) {
    append_utf8(code, bytes);
    ends.push_back(bytes.size());
  }
  const size_t before = numbers.size();
  for (size_t start = 0; start < word.size();) {
    size_t stop = std::min(word.size(), start + longest_);
    for (; stop > start; --stop) {
      const auto found = numbers_.find((start ? "##" : "") + bytes.substr(ends[start], ends[stop] - ends[start]));
      if (found == numbers_.end()) continue;
      numbers.push_back(found->second);
      break;
    }
    if (stop == start) {
      numbers.resize(before);
      numbers.push_back(unknown_);
      return;
    }
    start = stop;
  }
}

Outputs Tokenizer::tokenize(const std::string& utf8, const std::vector<TensorSpec>& inputs) const {
  std::vector<int64_t> ids = number(utf8);
  const auto length = static_cast<size_t>(spec_.length);
  std::vector<int64_t> mask(ids.size(), 1);
  mask.resize(length, 0);
  ids.resize(length, padding_);
  Outputs made;
  for (const TensorSpec& spec : inputs) {
    const std::vector<int64_t> zeros(length, 0);
    const std::vector<int64_t>& values = spec.name == spec_.ids ? ids : spec.name == spec_.mask ? mask : zeros;
    Tensor tensor{spec.dtype, {1, spec_.length}, {}};
    if (spec.dtype == "int64") fill<int64_t>(tensor, values);
    else if (spec.dtype == "int32") fill<int32_t>(tensor, values);
    else if (spec.dtype == "float32") fill<float>(tensor, values);
    else fill<bool>(tensor, values);
    made[spec.name] = std::move(tensor);
  }
  return made;
}

}  // namespace edge_app
