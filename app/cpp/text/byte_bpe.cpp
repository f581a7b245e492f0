#include "text/byte_bpe.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <queue>

#include "edge_app.h"
#include "text/characters.h"
#include "text/utf8.h"

namespace edge_app {
namespace {

constexpr size_t kFileBytesMax = 16 << 20;

enum class Kind { kLetter, kNumber, kSpace, kSign };

Kind find_kind(char32_t code) {
  return is_letter(code) ? Kind::kLetter : is_number(code) ? Kind::kNumber : is_space(code) ? Kind::kSpace : Kind::kSign;
}

// The letter that stands for a byte in a vocabulary: GPT-2's bytes_to_unicode.
std::array<std::string, 256> list_byte_letters() {
  std::array<std::string, 256> letters;
  char32_t other = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool is_printed = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    append_utf8(is_printed ? byte : other++, letters[byte]);
  }
  return letters;
}

// Where the part ends that begins at `start`: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t find_end(const std::u32string& text, size_t start) {
  for (const char32_t* ending : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"}) {
    const std::u32string word = ending;
    if (text.compare(start, word.size(), word) == 0) return start + word.size();
  }
  const size_t first = text[start] == U' ' && start + 1 < text.size() && find_kind(text[start + 1]) != Kind::kSpace ? start + 1 : start;
  const Kind kind = find_kind(text[first]);
  size_t end = first + 1;
  while (end < text.size() && find_kind(text[end]) == kind) ++end;
  // White space leaves its last character to what follows.
  return kind == Kind::kSpace && end < text.size() && end - start > 1 ? end - 1 : end;
}

}  // namespace

ByteBpe::ByteBpe(const std::string& file, const std::string& where) {
  const auto refuse = [&](const std::string& place, const std::string& expected, const std::string& found) {
    throw Error(Code::kMalformed, "the tokenizer's file cannot be used", where + ": " + place, expected, found, "deploy the bundle again");
  };
  if (file.size() > kFileBytesMax) refuse("the file", std::to_string(kFileBytesMax) + " bytes", std::to_string(file.size()));
  try {
    const nlohmann::json document = nlohmann::json::parse(file);
    std::unordered_map<std::string, int64_t> numbers;
    const auto tokens = document.at("tokens").get<std::vector<std::string>>();
    for (const std::string& token : tokens)
      if (token.empty() || !numbers.emplace(token, static_cast<int64_t>(numbers.size())).second)
        refuse("tokens", "each of them once", "'" + token + "'");
    size_ = tokens.size();
    const auto letters = list_byte_letters();
    for (size_t byte = 0; byte < letters.size(); ++byte) {
      if (!numbers.count(letters[byte])) refuse("tokens", "a token for each of the 256 bytes", "none for " + std::to_string(byte));
      bytes_[byte] = numbers.at(letters[byte]);
    }
    const auto read_number = [&](const nlohmann::json& value, const char* place) {
      if (!value.is_number_unsigned() || value.get<uint64_t>() >= size_)
        refuse(place, "numbers below " + std::to_string(size_), value.dump().substr(0, 80));
      return value.get<int64_t>();
    };
    const auto read_numbers = [&](const char* key) {
      std::vector<int64_t> found;
      if (!document.at(key).is_array()) refuse(key, "numbers", "something else");
      for (const nlohmann::json& value : document.at(key)) found.push_back(read_number(value, key));
      return found;
    };
    begin = read_numbers("begin");
    end = read_numbers("end");
    padding = read_number(document.at("padding"), "padding");
    space_first_ = document.at("space_first").get<bool>();
    for (const int64_t number : read_numbers("special")) special_.emplace_back(tokens[static_cast<size_t>(number)], number);
    std::stable_sort(special_.begin(), special_.end(), [](const auto& one, const auto& other) { return one.first.size() > other.first.size(); });
    for (const int64_t number : read_numbers("takes_space")) takes_space_.insert(number);
    for (const nlohmann::json& pair : document.at("merges")) {
      if (!pair.is_array() || pair.size() != 2) refuse("merges", "pairs of numbers", pair.dump().substr(0, 80));
      const int64_t left = read_number(pair[0], "merges"), right = read_number(pair[1], "merges");
      const auto joined = numbers.find(tokens[static_cast<size_t>(left)] + tokens[static_cast<size_t>(right)]);
      if (joined == numbers.end()) refuse("merges", "pairs that are tokens", pair.dump());
      const Join join = {static_cast<uint32_t>(joins_.size()), joined->second};
      if (!joins_.emplace(static_cast<uint64_t>(left) * size_ + static_cast<uint64_t>(right), join).second)
        refuse("merges", "each pair once", pair.dump());
    }
  } catch (const nlohmann::json::exception& error) {
    refuse("the file", "JSON with the keys of a byte-level BPE", error.what());
  }
}

void ByteBpe::cut(const std::string& utf8, bool reads_special, size_t count, std::vector<int64_t>& numbers) const {
  size_t start = 0;
  for (size_t at = 0; reads_special && at < utf8.size() && numbers.size() < count; ++at) {
    const auto here = [&](const auto& special) { return utf8.compare(at, special.first.size(), special.first) == 0; };
    const auto found = std::find_if(special_.begin(), special_.end(), here);
    if (found == special_.end()) continue;
    std::string part = utf8.substr(start, at - start);
    if (takes_space_.count(found->second)) {
      std::u32string text = decode_utf8(part).first;
      while (!text.empty() && is_space(text.back())) text.pop_back();
      part.clear();
      for (const char32_t code : text) append_utf8(code, part);
    }
    cut_part(part, count, numbers);
    numbers.push_back(found->second);
    start = at + found->first.size();
    at = start - 1;
  }
  cut_part(utf8.substr(start), count, numbers);
}

void ByteBpe::cut_part(const std::string& part, size_t count, std::vector<int64_t>& numbers) const {
  if (part.empty()) return;
  const std::u32string text = decode_utf8(space_first_ && part[0] != ' ' ? " " + part : part).first;
  for (size_t start = 0; start < text.size() && numbers.size() < count;) {
    const size_t stop = find_end(text, start);
    std::string bytes;
    for (; start < stop; ++start) append_utf8(text[start], bytes);
    join(bytes, numbers);
  }
}

const ByteBpe::Join* ByteBpe::find_join(int64_t left, int64_t right) const {
  const auto found = joins_.find(static_cast<uint64_t>(left) * size_ + static_cast<uint64_t>(right));
  return found == joins_.end() ? nullptr : &found->second;
}

// Joins the pair that was learnt first, the leftmost of several, until there is none.
void ByteBpe::join(const std::string& bytes, std::vector<int64_t>& numbers) const {
  const size_t count = bytes.size();
  std::vector<int64_t> parts;
  std::vector<size_t> following, before;
  for (size_t at = 0; at < count; ++at) {
    parts.push_back(bytes_[static_cast<unsigned char>(bytes[at])]);
    following.push_back(at + 1);
    before.push_back(at ? at - 1 : count);
  }
  using Offer = std::pair<uint32_t, size_t>;
  std::priority_queue<Offer, std::vector<Offer>, std::greater<>> offers;
  const auto offer = [&](size_t at) {
    const Join* join = find_join(parts[at], parts[following[at]]);
    if (join) offers.emplace(join->rank, at);
  };
  for (size_t at = 0; at + 1 < count; ++at) offer(at);
  while (!offers.empty()) {
    const auto [rank, at] = offers.top();
    offers.pop();
    const size_t right = following[at];
    if (parts[at] < 0 || right == count) continue;
    // What was offered before one of the two was joined with another is none any more.
    const Join* join = find_join(parts[at], parts[right]);
    if (!join || join->rank != rank) continue;
    parts[at] = join->number;
    parts[right] = -1;
    following[at] = following[right];
    if (following[at] < count) {
      before[following[at]] = at;
      offer(at);
    }
    if (before[at] < count) offer(before[at]);
  }
  std::copy_if(parts.begin(), parts.end(), std::back_inserter(numbers), [](int64_t number) { return number >= 0; });
}

}  // namespace edge_app
