// SHA-256, as hexadecimal digits.
#pragma once

#include <functional>
#include <string>
#include <utility>

namespace edge_app {

// Hashes what comes block by block until there is none; an empty text where that is not possible.
std::string hash_blocks(const std::function<std::pair<const char*, size_t>()>& next);

std::string hash(const std::string& bytes);

}  // namespace edge_app
