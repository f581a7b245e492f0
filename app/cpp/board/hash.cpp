#include "board/hash.h"

#include <openssl/evp.h>

#include <memory>

namespace edge_app {

std::string hash_blocks(const std::function<std::pair<const char*, size_t>()>& next) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) return "";
  for (std::pair<const char*, size_t> block; (block = next()).second > 0;)
    if (EVP_DigestUpdate(context.get(), block.first, block.second) != 1) return "";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_DigestFinal_ex(context.get(), digest, &length) != 1) return "";
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int index = 0; index < length; ++index) text += {digits[digest[index] >> 4], digits[digest[index] & 15]};
  return text;
}

std::string hash(const std::string& bytes) {
  bool is_over = false;
  return hash_blocks([&] {
    return std::exchange(is_over, true) ? std::make_pair(bytes.data(), size_t{0}) : std::make_pair(bytes.data(), bytes.size());
  });
}

}  // namespace edge_app
