// UTF-8 and its characters.
#pragma once

#include <string>
#include <utility>

namespace edge_app {

void append_utf8(char32_t code, std::string& bytes);

// Returns the characters of UTF-8, and npos, or where it is none (RFC 3629).
std::pair<std::u32string, size_t> decode_utf8(const std::string& bytes);

}  // namespace edge_app
