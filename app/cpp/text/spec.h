// How a text becomes the inputs of a payload, as a manifest says it (toolchain/agent/text.py).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "edge_app.h"

namespace edge_app {

// Of a manifest's input.text; an input without a name is none of the payload's.
struct TextSpec {
  std::string tokenizer, file, ids, mask, types;
  int64_t length = 0;
  bool lowercase = false, strip_accents = false, split_cjk = false, special_in_text = false;
};

// Returns what a manifest says of a text, or nothing; throws Error (23) for other tables than those of this library, and for inputs
// that no tokenizer makes, json::exception for keys and types.
std::optional<TextSpec> read_text_spec(const nlohmann::json& document, const std::string& where);

}  // namespace edge_app
