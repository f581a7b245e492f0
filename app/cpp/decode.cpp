// Decodes outputs that lie in files, as a check of the decoders against those of Python; no board is needed:
//
//     edge_app_decode SPEC.json ANSWERS NAME=DTYPE:SIZE,SIZE,...:FILE [...] [+NAME=... of an input]
//
// SPEC.json is metric.decoder of a manifest; files have the bytes of an array in C order. ANSWERS.NAME gets those of each answer,
// ANSWERS.NAME.offsets where the samples begin of one whose samples have different numbers of rows.
#include <fstream>
#include <iostream>
#include <iterator>
#include <list>
#include <sstream>

#include "decoders/arrays.h"
#include "decoders/decoder.h"

namespace {

std::vector<uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw edge_app::Error(edge_app::Code::kUsage, "a file cannot be read", path, "a file", "none", "correct the path");
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const void* bytes, size_t size) {
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
}

std::pair<std::string, edge_app::Tensor> read_tensor(const std::string& word) {
  const size_t equals = word.find('='), first = word.find(':', equals), second = word.find(':', first + 1);
  if (second == std::string::npos)
    throw edge_app::Error(edge_app::Code::kUsage, "this is no array", word, "NAME=DTYPE:SIZES:FILE", word, "write one so");
  edge_app::Tensor tensor{word.substr(equals + 1, first - equals - 1), {}, read(word.substr(second + 1))};
  std::stringstream sizes(word.substr(first + 1, second - first - 1));
  for (std::string size; std::getline(sizes, size, ',');) tensor.shape.push_back(std::stoll(size));
  return {word.substr(0, equals), std::move(tensor)};
}

int run(int count, char** words) {
  if (count < 4) {
    std::cerr << "usage: edge_app_decode SPEC.json ANSWERS NAME=DTYPE:SIZES:FILE [...] [+NAME=DTYPE:SIZES:FILE ...]\n";
    return 2;
  }
  const std::vector<uint8_t> spec = read(words[1]);
  const auto decoder = edge_app::make_decoder({spec.begin(), spec.end()});
  edge_app::Outputs outputs;
  edge_app::Inputs inputs;
  std::list<edge_app::Tensor> owned;
  std::vector<std::string> order, fed;
  for (int index = 3; index < count; ++index) {
    const std::string word = words[index];
    const bool is_input = word.front() == '+';
    auto [name, tensor] = read_tensor(word.substr(is_input));
    (is_input ? fed : order).push_back(name);
    if (is_input) {
      const edge_app::Tensor& kept = owned.emplace_back(std::move(tensor));
      inputs[name] = {kept.dtype, kept.shape, kept.bytes.data()};
    } else {
      outputs[name] = std::move(tensor);
    }
  }
  for (const auto& [name, answer] : decoder->decode(outputs, order, inputs, fed)) {
    const std::string path = std::string(words[2]) + "." + name;
    write(path, answer.values.bytes.data(), answer.values.bytes.size());
    if (!answer.offsets.empty()) write(path + ".offsets", answer.offsets.data(), answer.offsets.size() * sizeof(int64_t));
    std::cout << name << " " << edge_app::describe(answer.values.dtype, answer.values.shape) << "\n";
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(count, words);
  } catch (const edge_app::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code);
  } catch (const std::exception& error) {
    std::cerr << "unexpected error: " << error.what() << "\n";
    return 1;
  }
}
