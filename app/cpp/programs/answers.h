// Answers as files: ANSWERS.NAME, and ANSWERS.NAME.offsets where samples have different numbers of rows.
#pragma once

#include <string>

#include "edge_app.h"
#include "programs/words.h"

namespace edge_app {

inline void write_answers(const std::string& answers, const Answers& found) {
  for (const auto& [name, answer] : found) {
    const std::string path = answers + "." + name;
    write_bytes(path, answer.values.bytes.data(), answer.values.bytes.size());
    if (!answer.offsets.empty()) write_bytes(path + ".offsets", answer.offsets.data(), answer.offsets.size() * sizeof(int64_t));
  }
}

}  // namespace edge_app
