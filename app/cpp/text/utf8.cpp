#include "text/utf8.h"

namespace edge_app {

void append_utf8(char32_t code, std::string& bytes) {
  const auto put = [&](uint32_t byte) { bytes += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

std::pair<std::u32string, size_t> decode_utf8(const std::string& bytes) {
  std::u32string text;
  for (size_t at = 0; at < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[at]);
    const size_t count = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (count == 0 || at + count > bytes.size()) return {text, at};
    char32_t code = count == 1 ? lead : lead & (0x7Fu >> count);
    for (size_t more = 1; more < count; ++more) {
      const auto byte = static_cast<unsigned char>(bytes[at + more]);
      if ((byte & 0xC0) != 0x80) return {text, at};
      code = code << 6 | (byte & 0x3F);
    }
    if ((count == 3 && code < 0x800) || (count == 4 && code < 0x10000) || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF)
      return {text, at};
    text += code;
    at += count;
  }
  return {text, std::string::npos};
}

}  // namespace edge_app
