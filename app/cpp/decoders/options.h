// The options of a decoder, read strictly: one that is not known, or of another type, is refused and never guessed.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "edge_app.h"

namespace edge_app {

class DecoderOptions {
 public:
  // Takes {"name": ..., "options": {...}} as JSON; throws Error (23) for what is none.
  explicit DecoderOptions(const std::string& spec);
  ~DecoderOptions();

  const std::string& decoder() const { return decoder_; }

  bool read_bool(const std::string& name, bool fallback);
  int64_t read_integer(const std::string& name, int64_t fallback);
  double read_number(const std::string& name, double fallback);
  std::string read_text(const std::string& name, const std::string& fallback);
  std::string read_word(const std::string& name, const std::string& fallback, const std::set<std::string>& words);
  // A name, or none.
  std::optional<std::string> read_name(const std::string& name);
  std::vector<std::string> read_names(const std::string& name);
  std::vector<int64_t> read_integers(const std::string& name);
  std::vector<double> read_numbers(const std::string& name, std::vector<double> fallback = {});
  std::vector<std::vector<double>> read_rows(const std::string& name);
  std::vector<std::vector<int64_t>> read_integer_rows(const std::string& name);

  // Refuses the options where a condition does not hold.
  void require(bool holds, const std::string& expected) const;
  // Refuses what nobody has read.
  void close() const;

 private:
  const nlohmann::json* find(const std::string& name);
  [[noreturn]] void refuse(const std::string& name, const std::string& expected, const std::string& found) const;
  double to_number(const std::string& name, const nlohmann::json& value) const;
  int64_t to_integer(const std::string& name, const nlohmann::json& value) const;

  std::string decoder_;
  std::unique_ptr<const nlohmann::json> given_;
  std::set<std::string> read_;
};

}  // namespace edge_app
