// JSON that lies on a board.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "edge_app.h"

namespace edge_app {

template <typename Read>
auto parse(const std::string& bytes, const std::string& where, Read read) {
  try {
    return read(nlohmann::json::parse(bytes));
  } catch (const nlohmann::json::exception& error) {
    throw Error(Code::kMalformed, "a file of the board cannot be read", where, "JSON as the toolchain writes it",
                error.what(), "deploy the bundle again");
  }
}

inline void check_schema(const nlohmann::json& document, int known, const std::string& where) {
  const int schema = document.at("schema");
  if (schema != known)
    throw Error(Code::kMalformed, "it was written by another version of the toolchain", where + ": schema",
                std::to_string(known), std::to_string(schema),
                "deploy the model again with the toolchain of this file, or build the application with its app/cpp");
}

}  // namespace edge_app
