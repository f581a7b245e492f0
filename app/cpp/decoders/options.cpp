#include "decoders/options.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace edge_app {

using nlohmann::json;

DecoderOptions::DecoderOptions(const std::string& spec) {
  try {
    const json read = json::parse(spec);
    decoder_ = read.at("name").get<std::string>();
    given_ = std::make_unique<const json>(read.at("options"));
  } catch (const json::exception& error) {
    throw Error(Code::kMalformed, "the decoder of the manifest cannot be read", "metric.decoder", "a name and options", error.what(),
                "deploy the bundle again");
  }
  if (!given_->is_object()) refuse("", "a table", given_->dump());
}

DecoderOptions::~DecoderOptions() = default;

const json* DecoderOptions::find(const std::string& name) {
  read_.insert(name);
  const auto found = given_->find(name);
  return found == given_->end() ? nullptr : &*found;
}

void DecoderOptions::refuse(const std::string& name, const std::string& expected, const std::string& found) const {
  throw Error(Code::kUsage, "the decoder " + decoder_ + " cannot take these options", "metric.decoder.options" + (name.empty() ? "" : "." + name),
              expected, found.substr(0, 80), "deploy the model again, with a decoder that this application knows");
}

double DecoderOptions::to_number(const std::string& name, const json& value) const {
  if (!value.is_number()) refuse(name, "a number", value.dump());
  const double number = value.get<double>();
  if (!std::isfinite(number)) refuse(name, "a finite number", value.dump());
  return number;
}

int64_t DecoderOptions::to_integer(const std::string& name, const json& value) const {
  if (!value.is_number_integer()) refuse(name, "a whole number", value.dump());
  const double number = value.get<double>();
  // Sizes, strides and counts of bytes that a board holds; products of two of them stay numbers.
  if (std::abs(number) > 1e9) refuse(name, "a number up to 1e9", value.dump());
  return value.get<int64_t>();
}

bool DecoderOptions::read_bool(const std::string& name, bool fallback) {
  const json* value = find(name);
  if (value && !value->is_boolean()) refuse(name, "true or false", value->dump());
  return value ? value->get<bool>() : fallback;
}

int64_t DecoderOptions::read_integer(const std::string& name, int64_t fallback) {
  const json* value = find(name);
  return value ? to_integer(name, *value) : fallback;
}

double DecoderOptions::read_number(const std::string& name, double fallback) {
  const json* value = find(name);
  return value ? to_number(name, *value) : fallback;
}

std::string DecoderOptions::read_text(const std::string& name, const std::string& fallback) {
  const json* value = find(name);
  if (value && !value->is_string()) refuse(name, "a text", value->dump());
  return value ? value->get<std::string>() : fallback;
}

std::string DecoderOptions::read_word(const std::string& name, const std::string& fallback, const std::set<std::string>& words) {
  const std::string word = read_text(name, fallback);
  std::string list;
  for (const std::string& item : words) list += (list.empty() ? "" : ", ") + item;
  if (!words.count(word)) refuse(name, "one of " + list, word);
  return word;
}

std::optional<std::string> DecoderOptions::read_name(const std::string& name) {
  const json* value = find(name);
  if (!value || value->is_null()) return std::nullopt;
  if (!value->is_string()) refuse(name, "a name", value->dump());
  return value->get<std::string>();
}

std::vector<std::string> DecoderOptions::read_names(const std::string& name) {
  std::vector<std::string> names;
  const json* value = find(name);
  if (value && !value->is_array()) refuse(name, "a list of names", value->dump());
  for (const json& item : value ? *value : json::array()) {
    if (!item.is_string()) refuse(name, "a list of names", item.dump());
    names.push_back(item.get<std::string>());
  }
  return names;
}

std::vector<int64_t> DecoderOptions::read_integers(const std::string& name) {
  std::vector<int64_t> numbers;
  const json* value = find(name);
  if (value && !value->is_array()) refuse(name, "a list of whole numbers", value->dump());
  for (const json& item : value ? *value : json::array()) numbers.push_back(to_integer(name, item));
  return numbers;
}

std::vector<double> DecoderOptions::read_numbers(const std::string& name, std::vector<double> fallback) {
  const json* value = find(name);
  if (!value) return fallback;
  if (!value->is_array()) refuse(name, "a list of numbers", value->dump());
  std::vector<double> numbers;
  for (const json& item : *value) numbers.push_back(to_number(name, item));
  return numbers;
}

std::vector<std::vector<double>> DecoderOptions::read_rows(const std::string& name) {
  std::vector<std::vector<double>> rows;
  const json* value = find(name);
  if (value && !value->is_array()) refuse(name, "a list of lists", value->dump());
  for (const json& row : value ? *value : json::array()) {
    if (!row.is_array()) refuse(name, "a list of lists", row.dump());
    std::vector<double> numbers;
    for (const json& item : row) numbers.push_back(to_number(name, item));
    rows.push_back(std::move(numbers));
  }
  return rows;
}

std::vector<std::vector<int64_t>> DecoderOptions::read_integer_rows(const std::string& name) {
  std::vector<std::vector<int64_t>> rows;
  const json* value = find(name);
  if (value && !value->is_array()) refuse(name, "a list of lists", value->dump());
  for (const json& row : value ? *value : json::array()) {
    if (!row.is_array()) refuse(name, "a list of lists", row.dump());
    std::vector<int64_t> numbers;
    for (const json& item : row) numbers.push_back(to_integer(name, item));
    rows.push_back(std::move(numbers));
  }
  return rows;
}

void DecoderOptions::require(bool holds, const std::string& expected) const {
  if (!holds) refuse("", expected, given_->dump());
}

void DecoderOptions::close() const {
  for (const auto& item : given_->items())
    if (!read_.count(item.key())) refuse(item.key(), "no such option", item.key());
}

}  // namespace edge_app
