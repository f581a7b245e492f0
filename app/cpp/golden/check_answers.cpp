#include "golden/check_answers.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "decoders/arrays.h"
#include "golden/levels.h"
#include "tensor.h"

namespace edge_app {
namespace {

// As toolchain/agent/measure/pairs.py: exponentials of two libraries differ in their last bits.
constexpr double kRelative = 1e-4, kAbsolute = 1e-6;
// Pixels of a picture of a few hundred, where float32 has steps of 3e-5; one that lies at 0 is what is left of a difference of such.
constexpr double kBoxAbsolute = 1e-4;

// Of a detector with thousands of boxes each takes some ms, and every release is held so before it answers.
constexpr int64_t kSamplesMax = 16;

const std::string kValues = ".values", kOffsets = ".offsets";

[[noreturn]] void differ(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Code::kParity, "the decoder of this application does not make of golden outputs what the board's agent makes of them", where, expected,
              found, "build the application with the app/cpp of the toolchain that deployed, or open it without a decoder (Options::decodes)");
}

// A sample of a golden array, as the payload takes or gives it.
Tensor read_sample(const NpyFile& file, int64_t index, bool is_stacked, const std::optional<Tensor>& levels) {
  Tensor tensor = file.read(index, 1);
  if (levels) tensor = expand_levels(tensor, *levels, file.where());
  if (is_stacked) tensor.shape.erase(tensor.shape.begin());
  return tensor;
}

struct GoldenInput {
  NpyFile file;
  std::optional<Tensor> levels;
};

std::map<std::string, GoldenInput> open_inputs(const GoldenFolder& golden) {
  std::map<std::string, GoldenInput> inputs;
  for (const auto& [name, path] : golden.manifest.golden.inputs) {
    const std::string levels = find_levels_path(path);
    std::optional<Tensor> read;
    if (golden.manifest.files.count(levels)) read = golden.open(levels).read_all();
    inputs.emplace(name, GoldenInput{golden.open(path), std::move(read)});
  }
  return inputs;
}

// What a decoder makes of sample after sample, as one.
void add(Answers& all, const Answers& made) {
  for (const auto& [name, answer] : made) {
    const auto found = all.find(name);
    if (found == all.end()) {
      all.emplace(name, answer);
      continue;
    }
    Answer& joined = found->second;
    joined.values.bytes.insert(joined.values.bytes.end(), answer.values.bytes.begin(), answer.values.bytes.end());
    if (!answer.offsets.empty()) {
      const int64_t before = joined.offsets.back();
      for (size_t index = 1; index < answer.offsets.size(); ++index) joined.offsets.push_back(before + answer.offsets[index]);
    }
    joined.values.shape[0] += answer.values.shape[0];
  }
}

Answers decode_first(const GoldenFolder& golden, const Meaning& meaning, int64_t samples) {
  const Golden& files = golden.manifest.golden;
  const bool is_stacked = golden.manifest.is_stacked;
  std::map<std::string, NpyFile> outputs;
  for (const auto& [name, path] : files.outputs) outputs.emplace(name, golden.open(path));
  const std::map<std::string, GoldenInput> inputs = open_inputs(golden);
  Answers all;
  for (int64_t index = 0; index < samples; ++index) {
    Outputs given;
    for (const auto& [name, file] : outputs) given[name] = read_sample(file, index, is_stacked, std::nullopt);
    std::map<std::string, Tensor> owned;
    Inputs fed;
    for (const auto& [name, input] : inputs) {
      const Tensor& tensor = owned[name] = read_sample(input.file, index, is_stacked, input.levels);
      fed[name] = {tensor.dtype, tensor.shape, tensor.bytes.data()};
    }
    add(all, meaning.decode(given, fed));
  }
  return all;
}

bool is_close(double found, double expected, double absolute) {
  if (std::isnan(expected) || std::isnan(found)) return std::isnan(expected) && std::isnan(found);
  return found == expected || std::abs(found - expected) <= absolute + kRelative * std::abs(expected);
}

void check_values(const Tensor& found, const NpyFile& file, bool is_boxes) {
  // Of the first samples; all of them lie there.
  const Tensor expected = file.read(0, std::min(file.rows(), found.shape.empty() ? 0 : found.shape[0]));
  if (found.dtype != expected.dtype || found.shape != expected.shape)
    differ(file.where(), describe(expected.dtype, expected.shape), describe(found.dtype, found.shape));
  if (expected.dtype.rfind("float", 0) != 0) {
    if (found.bytes != expected.bytes) differ(file.where(), "the same numbers", "others");
    return;
  }
  for (int64_t index = 0; index < count_numbers(expected.shape); ++index) {
    const double one = read_number(found.dtype, found.bytes.data(), index), other = read_number(expected.dtype, expected.bytes.data(), index);
    if (!is_close(one, other, is_boxes ? kBoxAbsolute : kAbsolute))
      differ(file.where() + ": number " + std::to_string(index), std::to_string(other), std::to_string(one));
  }
}

}  // namespace

void check_answers(const GoldenFolder& golden, const Meaning& meaning) {
  const std::map<std::string, std::string>& paths = golden.manifest.golden.answers;
  if (paths.empty() || !meaning.has_decoder()) return;
  std::map<std::string, NpyFile> stored;
  int64_t samples = std::min(golden.manifest.golden.samples, kSamplesMax);
  for (const auto& [name, path] : paths) {
    const NpyFile& file = stored.emplace(name, golden.open(path)).first->second;
    const bool is_offsets = name.size() > kOffsets.size() && name.compare(name.size() - kOffsets.size(), kOffsets.size(), kOffsets) == 0;
    const bool is_values = name.size() > kValues.size() && name.compare(name.size() - kValues.size(), kValues.size(), kValues) == 0;
    if (!is_values) samples = std::min(samples, file.rows() - is_offsets);
  }
  if (samples < 1)
    throw Error(Code::kMalformed, "golden answers are of no sample", "golden.pairs.answers", "one or more", std::to_string(samples),
                "write the bundle again");
  size_t held = 0;
  for (const auto& [name, answer] : decode_first(golden, meaning, samples)) {
    const bool is_ragged = !answer.offsets.empty();
    const auto values = stored.find(is_ragged ? name + kValues : name);
    if (values == stored.end()) differ("golden.pairs.answers", "no answer of this name", name);
    check_values(answer.values, values->second, name == "boxes");
    held += 1;
    if (!is_ragged) continue;
    const auto offsets = stored.find(name + kOffsets);
    if (offsets == stored.end()) differ("golden.pairs.answers", "rows as many for each sample", name);
    check_values(make_answer(answer.offsets, {static_cast<int64_t>(answer.offsets.size())}).values, offsets->second, false);
    held += 1;
  }
  if (held != stored.size()) differ("golden.pairs.answers", std::to_string(stored.size()) + " arrays", std::to_string(held));
}

}  // namespace edge_app
