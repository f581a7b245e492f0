// What a tokenizer asks of a character: the tables of toolchain/agent/measure/preprocess/characters.py.
#pragma once

#include <string>

namespace edge_app {

bool is_space(char32_t code);
bool is_removed(char32_t code);
bool is_punctuation(char32_t code);
bool is_accent(char32_t code);
// Chinese as BERT means it.
bool is_cjk(char32_t code);
// Of words and of numbers as byte-level BPE means them.
bool is_letter(char32_t code);
bool is_number(char32_t code);

void lower(char32_t code, std::u32string& text);
void decompose(char32_t code, std::u32string& text);
// Lays the marks behind each character in canonical order.
void order_marks(std::u32string& text);

}  // namespace edge_app
