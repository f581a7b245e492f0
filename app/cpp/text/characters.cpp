#include "text/characters.h"

#include <algorithm>
#include <cstddef>

#include "text/tables.h"

#include "text/character_tables.inc"

namespace edge_app {

const char* const kTextTables = kTables;

namespace {

template <typename Row, size_t count>
const Row* find(const Row (&rows)[count], char32_t code) {
  const Row* row = std::upper_bound(rows, rows + count, code, [](char32_t value, const Row& each) { return value < each.first; });
  return row == rows || code > (row - 1)->last ? nullptr : row - 1;
}

uint32_t find_order(char32_t code) {
  const Valued* row = find(kOrder, code);
  return row ? row->value : 0;
}

}  // namespace

bool is_space(char32_t code) { return find(kSpace, code) != nullptr; }
bool is_removed(char32_t code) { return find(kRemoved, code) != nullptr; }
bool is_punctuation(char32_t code) { return find(kPunctuation, code) != nullptr; }
bool is_accent(char32_t code) { return find(kAccent, code) != nullptr; }
bool is_letter(char32_t code) { return find(kLetter, code) != nullptr; }
bool is_number(char32_t code) { return find(kNumber, code) != nullptr; }

bool is_cjk(char32_t code) {
  constexpr char32_t kRanges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                     {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kRanges), std::end(kRanges), [&](const auto& range) { return range[0] <= code && code <= range[1]; });
}

void lower(char32_t code, std::u32string& text) {
  if (const Long* row = find(kLowerLong, code)) {
    text.append(kLongParts + row->start, row->count);
    return;
  }
  const Move* row = find(kLower, code);
  const bool moves = row && (code - row->first) % row->step == 0;
  text += moves ? static_cast<char32_t>(static_cast<int32_t>(code) + row->distance) : code;
}

void decompose(char32_t code, std::u32string& text) {
  constexpr char32_t kSyllables = 0xAC00, kLeading = 0x1100, kVowels = 0x1161, kTrailing = 0x11A7;
  if (code >= kSyllables && code < kSyllables + 11172) {
    const char32_t syllable = code - kSyllables;
    text += kLeading + syllable / (21 * 28);
    text += kVowels + syllable % (21 * 28) / 28;
    if (syllable % 28) text += kTrailing + syllable % 28;
  } else if (const Long* row = find(kDecomposed, code)) {
    text.append(kLongParts + row->start, row->count);
  } else {
    text += code;
  }
}

void order_marks(std::u32string& text) {
  for (size_t start = 0; start < text.size();) {
    size_t stop = start;
    while (stop < text.size() && find_order(text[stop])) ++stop;
    std::stable_sort(text.begin() + static_cast<ptrdiff_t>(start), text.begin() + static_cast<ptrdiff_t>(stop),
                     [](char32_t first, char32_t second) { return find_order(first) < find_order(second); });
    start = stop + 1;
  }
}

}  // namespace edge_app
