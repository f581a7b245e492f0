// The command line of a program, its files, and its end.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace edge_app {

// What stands on a command line: words in their order, and options with what follows each.
struct Words {
  std::vector<std::string> plain;
  std::map<std::string, std::vector<std::string>> options;

  bool has(const std::string& option) const { return options.count(option) > 0; }
  // What follows an option; throws Error (2) where that is no whole number.
  int64_t read_number(const std::string& option, int64_t fallback) const;
};

// `known` says how many words follow an option; throws Error (2) for an option that is none of them, or ends too early.
Words read_words(int count, char** words, const std::map<std::string, size_t>& known);

// Throws Error (2) where there is no such file.
std::vector<uint8_t> read_bytes(const std::string& path);
void write_bytes(const std::string& path, const void* bytes, size_t size);

// Runs a program: an error goes to stderr, and its code is returned (docs/boards.md).
int run_program(int count, char** words, const std::map<std::string, size_t>& known, int (*run)(const Words& words));

}  // namespace edge_app
