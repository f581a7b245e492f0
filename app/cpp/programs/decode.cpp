// Decodes outputs that lie in files, as a check of the decoders against those of Python; no board is needed:
//
//     edge_app_decode SPEC.json ANSWERS NAME=DTYPE:SIZE,SIZE,...:FILE [...] [+NAME=... of an input]
//
// SPEC.json is metric.decoder of a manifest; files have the bytes of an array in C order. ANSWERS.NAME gets those of each answer,
// ANSWERS.NAME.offsets where the samples begin of one whose samples have different numbers of rows.
#include <iostream>
#include <list>
#include <sstream>

#include "decoders/arrays.h"
#include "decoders/decoder.h"
#include "programs/answers.h"
#include "programs/words.h"

namespace {

std::pair<std::string, edge_app::Tensor> read_tensor(const std::string& word) {
  const size_t equals = word.find('='), first = word.find(':', equals), second = word.find(':', first + 1);
  if (second == std::string::npos)
    throw edge_app::Error(edge_app::Code::kUsage, "this is no array", word, "NAME=DTYPE:SIZES:FILE", word, "write one so");
  edge_app::Tensor tensor{word.substr(equals + 1, first - equals - 1), {}, edge_app::read_bytes(word.substr(second + 1))};
  std::stringstream sizes(word.substr(first + 1, second - first - 1));
  for (std::string size; std::getline(sizes, size, ',');) tensor.shape.push_back(std::stoll(size));
  return {word.substr(0, equals), std::move(tensor)};
}

int run(const edge_app::Words& words) {
  if (words.plain.size() < 3) {
    std::cerr << "usage: edge_app_decode SPEC.json ANSWERS NAME=DTYPE:SIZES:FILE [...] [+NAME=DTYPE:SIZES:FILE ...]\n";
    return 2;
  }
  const std::vector<uint8_t> spec = edge_app::read_bytes(words.plain[0]);
  const auto decoder = edge_app::make_decoder({spec.begin(), spec.end()});
  edge_app::Outputs outputs;
  edge_app::Inputs inputs;
  std::list<edge_app::Tensor> owned;
  std::vector<std::string> order, fed;
  for (size_t index = 2; index < words.plain.size(); ++index) {
    const std::string& word = words.plain[index];
    const bool is_input = word.rfind('+', 0) == 0;
    auto [name, tensor] = read_tensor(word.substr(is_input));
    (is_input ? fed : order).push_back(name);
    if (is_input) {
      const edge_app::Tensor& kept = owned.emplace_back(std::move(tensor));
      inputs[name] = {kept.dtype, kept.shape, kept.bytes.data()};
    } else {
      outputs[name] = std::move(tensor);
    }
  }
  const edge_app::Answers found = decoder->decode(outputs, order, inputs, fed);
  edge_app::write_answers(words.plain[1], found);
  for (const auto& [name, answer] : found) std::cout << name << " " << edge_app::describe(answer.values.dtype, answer.values.shape) << "\n";
  return 0;
}

}  // namespace

int main(int count, char** words) { return edge_app::run_program(count, words, {}, run); }
