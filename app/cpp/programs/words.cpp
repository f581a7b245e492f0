#include "programs/words.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include "edge_app.h"

namespace edge_app {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Code::kUsage, "the command line cannot be read", where, expected, found, "correct the option; the head of the program's file has all of them");
}

}  // namespace

int64_t Words::read_number(const std::string& option, int64_t fallback) const {
  const auto found = options.find(option);
  if (found == options.end()) return fallback;
  const std::string& text = found->second.front();
  char* end = nullptr;
  errno = 0;
  const int64_t number = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || errno) refuse(option, "a whole number", text);
  return number;
}

Words read_words(int count, char** words, const std::map<std::string, size_t>& known) {
  Words read;
  for (int index = 1; index < count; ++index) {
    const std::string word = words[index];
    if (word.rfind("--", 0) != 0) {
      read.plain.push_back(word);
      continue;
    }
    const auto option = known.find(word);
    if (option == known.end()) refuse(word, "an option of this program", "none");
    std::vector<std::string>& values = read.options[word];
    values.clear();
    while (values.size() < option->second && index + 1 < count) values.emplace_back(words[++index]);
    if (values.size() < option->second) refuse(word, std::to_string(option->second) + " words after it", std::to_string(values.size()));
  }
  return read;
}

std::vector<uint8_t> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(Code::kUsage, "a file cannot be read", path, "a file", "none", "correct the path");
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::string& path, const void* bytes, size_t size) {
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
}

int run_program(int count, char** words, const std::map<std::string, size_t>& known, int (*run)(const Words& words)) {
  try {
    return run(read_words(count, words, known));
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code);
  } catch (const std::exception& error) {
    std::cerr << "unexpected error: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace edge_app
