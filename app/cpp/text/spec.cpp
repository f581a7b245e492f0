#include "text/spec.h"

#include <nlohmann/json.hpp>

#include "text/tables.h"

namespace edge_app {

std::optional<TextSpec> read_text_spec(const nlohmann::json& document, const std::string& where) {
  const nlohmann::json& input = document.at("input");
  if (input.is_null() || input.at("text").is_null()) return std::nullopt;
  const nlohmann::json& text = input.at("text");
  const auto read = [&](const char* key) { return text.at(key).is_null() ? std::string() : text.at(key).get<std::string>(); };
  TextSpec spec;
  spec.tokenizer = read("tokenizer");
  spec.file = read("file");
  spec.ids = input.at("name");
  spec.mask = read("mask");
  spec.types = read("types");
  spec.length = text.at("length");
  spec.lowercase = text.at("lowercase");
  spec.strip_accents = text.at("strip_accents");
  spec.split_cjk = text.at("split_cjk");
  spec.special_in_text = text.at("special_in_text");
  const std::string tables = read("tables"), fix = "build the application with the text/ of the toolchain that deployed";
  if ((spec.tokenizer == "wordpiece" || spec.tokenizer == "byte_bpe") && tables != kTextTables)
    throw Error(Code::kMalformed, "the tokenizer has other characters than this library", where + ": input.text.tables", kTextTables, tables, fix);
  for (const nlohmann::json& tensor : document.at("inputs")) {
    const std::string name = tensor.at("name"), dtype = tensor.at("dtype");
    const bool is_ids = name == spec.ids || (name == spec.types && !name.empty()), is_mask = name == spec.mask && !name.empty();
    const bool is_whole = dtype == "int64" || dtype == "int32";
    if (!(is_ids && is_whole) && !(is_mask && (is_whole || dtype == "float32" || dtype == "bool")))
      throw Error(Code::kMalformed, "the tokenizer does not make this input of the payload", where + ": inputs",
                  "token ids, mask and types", name + " of " + dtype, "deploy the bundle again");
  }
  return spec;
}

}  // namespace edge_app
