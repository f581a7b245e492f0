// Runs the proven model of a board on a file of frames, as a check and as an example:
//
//     edge_app_run ROOT ANSWERS NAME=FRAMES [NAME=FRAMES ...] [--batch N] [--repeat N] [--changes N] [--until-trouble] [--decode] [--raw] [--warn] [--agent-limit-ms N]
//     edge_app_run ROOT ANSWERS --picture ROWSxWIDTH PICTURE [--boxes BOXES] [--decode]
//     edge_app_run ROOT ANSWERS --text TEXT [--decode]
//
// FRAMES has the bytes of an input, sample after sample, in C order; ANSWERS.NAME gets those of each output, and with --decode those of
// what they mean, of all frames as one batch; with --raw no decoder is opened. It exits with 0, or with the code of the error
// (docs/boards.md). With --repeat it runs all of them so often, with --changes until the release has changed so often, with
// --until-trouble until something is told against it; a line on stderr says which one answers.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <string>

#include "edge_app.h"
#include "programs/answers.h"
#include "programs/words.h"

namespace {

using edge_app::Inputs;
using edge_app::Model;
using edge_app::TensorSpec;
using edge_app::Words;

// The largest memory of this program in MB. That of getrusage begins with what the process was before it became this program.
double read_peak_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  return std::numeric_limits<double>::quiet_NaN();
}

// Writes what the payload takes of a picture, what it answers, and boxes of the input as they lie in the picture.
int show(const Model& model, const Words& words) {
  const std::string& answers = words.plain[1];
  const std::vector<std::string>& picture_words = words.options.at("--picture");
  int64_t height = 0, width = 0;
  if (std::sscanf(picture_words[0].c_str(), "%" SCNd64 "x%" SCNd64, &height, &width) != 2) height = -1;
  const std::vector<uint8_t> pixels = edge_app::read_bytes(picture_words[1]);
  const int64_t channels = height > 0 && width > 0 ? static_cast<int64_t>(pixels.size()) / height / width : 0;
  const edge_app::TensorView picture = edge_app::view(pixels, {height, width, channels});
  const edge_app::Prepared prepared = model.prepare(picture);
  edge_app::write_bytes(answers + ".tensor", prepared.tensor.bytes.data(), prepared.tensor.bytes.size());
  for (const auto& [name, tensor] : model.see(picture).outputs)
    edge_app::write_bytes(answers + "." + name, tensor.bytes.data(), tensor.bytes.size());
  if (words.has("--decode")) edge_app::write_answers(answers, model.find(picture).answers);
  std::vector<std::array<float, 4>> restored;
  const std::vector<uint8_t> given = words.has("--boxes") ? edge_app::read_bytes(words.options.at("--boxes")[0]) : std::vector<uint8_t>();
  for (size_t start = 0; start + 16 <= given.size(); start += 16) {
    std::array<float, 4> box{};
    std::memcpy(box.data(), given.data() + start, 16);
    restored.push_back(prepared.at.restore(box));
  }
  edge_app::write_bytes(answers + ".restored", restored.data(), restored.size() * 16);
  return 0;
}

// Writes what the payload answers to a text in UTF-8, and with --decode what that means.
int tell(const Model& model, const Words& words) {
  const std::vector<uint8_t> bytes = edge_app::read_bytes(words.options.at("--text")[0]);
  const std::string text(bytes.begin(), bytes.end());
  for (const auto& [name, tensor] : model.read(text))
    edge_app::write_bytes(words.plain[1] + "." + name, tensor.bytes.data(), tensor.bytes.size());
  if (words.has("--decode")) edge_app::write_answers(words.plain[1], model.answer(text));
  return 0;
}

using Frames = std::map<std::string, std::vector<uint8_t>>;

size_t count_row_bytes(const TensorSpec& spec) {
  std::vector<int64_t> shape = spec.shape;
  if (!shape.empty()) shape[0] = 1;
  return std::max<size_t>(1, static_cast<size_t>(edge_app::count_numbers(shape)) * edge_app::count_bytes(spec.dtype));
}

// Some samples of each input, from one on; fewer where there are not as many.
Inputs take(const Model& model, const Frames& frames, int64_t start, int64_t count) {
  Inputs inputs;
  for (const TensorSpec& spec : model.inputs()) {
    static const std::vector<uint8_t> none;
    const auto found = frames.find(spec.name);
    const std::vector<uint8_t>& bytes = found == frames.end() ? none : found->second;
    const size_t row_bytes = count_row_bytes(spec);
    std::vector<int64_t> shape = spec.shape;
    if (!shape.empty()) shape[0] = std::min(count, static_cast<int64_t>(bytes.size() / row_bytes) - start);
    inputs[spec.name] = {spec.dtype, shape, bytes.data() + static_cast<size_t>(start) * row_bytes};
  }
  return inputs;
}

int64_t count_samples(const Model& model, const Frames& frames) {
  int64_t samples = 0;
  for (const auto& [name, view] : take(model, frames, 0, std::numeric_limits<int64_t>::max()))
    if (!view.shape.empty()) samples = std::max(samples, view.shape[0]);
  return samples;
}

// Runs all frames again and again, and returns how long each call took in ms; answers of the first turn are written.
std::vector<double> run_frames(const Model& model, const Frames& frames, const Words& words) {
  const int64_t batch = words.read_number("--batch", 1), repeat = words.read_number("--repeat", 1), changes = words.read_number("--changes", 0);
  const bool waits_for_trouble = words.has("--until-trouble");
  std::map<std::string, std::ofstream> files;
  for (const TensorSpec& spec : model.outputs()) files[spec.name].open(words.plain[1] + "." + spec.name, std::ios::binary);
  std::string last;
  std::vector<double> taken_ms;
  for (int64_t turn = 0, seen = -1; turn < repeat || seen < changes || (waits_for_trouble && !model.trouble()); ++turn) {
    const int64_t samples = std::max<int64_t>(1, count_samples(model, frames));  // none at all is refused as what it is
    for (int64_t start = 0; start < samples; start += batch) {
      const Inputs inputs = take(model, frames, start, batch);
      const auto begin = std::chrono::steady_clock::now();
      const edge_app::Outputs outputs = model(inputs);
      taken_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
      if (turn == 0)
        for (const auto& [name, tensor] : outputs)
          files[name].write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
    }
    if (const std::string now = model.release().bundle_id; now != last) {
      std::cerr << "release " << (last = now) << std::endl;
      ++seen;
    }
  }
  return taken_ms;
}

int run(const Words& words) {
  const std::vector<std::string>& plain = words.plain;
  if (plain.size() < 2 || words.read_number("--batch", 1) < 1 || words.read_number("--repeat", 1) < 1) {
    std::cerr << "usage: edge_app_run ROOT ANSWERS NAME=FRAMES [NAME=FRAMES ...] [--batch N] [--repeat N] [--changes N] [--until-trouble] [--decode] [--raw] [--warn] [--agent-limit-ms N]\n"
                 "       edge_app_run ROOT ANSWERS --picture ROWSxWIDTH PICTURE [--boxes BOXES] [--decode]\n"
                 "       edge_app_run ROOT ANSWERS --text TEXT [--decode]\n";
    return 2;
  }
  edge_app::Options options;
  options.warns_of_unproven = words.has("--warn");
  options.decodes = !words.has("--raw");
  options.agent_limit = std::chrono::milliseconds(words.read_number("--agent-limit-ms", options.agent_limit.count()));
  if (words.has("--repeat") || words.has("--changes") || words.has("--until-trouble")) options.check_interval = std::chrono::milliseconds(20);
  Frames frames;
  for (size_t index = 2; index < plain.size(); ++index) {
    const size_t equals = plain[index].find('=');
    if (equals == std::string::npos)
      throw edge_app::Error(edge_app::Code::kUsage, "this is no input", plain[index], "NAME=FRAMES", plain[index], "write one so");
    frames[plain[index].substr(0, equals)] = edge_app::read_bytes(plain[index].substr(equals + 1));
  }
  Model model(plain[0], options);
  for (const std::string& reason : model.reasons()) std::cerr << "warning: " << reason << "\n";
  if (words.has("--picture")) return show(model, words);
  if (words.has("--text")) return tell(model, words);
  if (words.has("--decode")) {
    edge_app::write_answers(plain[1], model.answer(take(model, frames, 0, std::numeric_limits<int64_t>::max())));
    return 0;
  }
  std::vector<double> taken_ms = run_frames(model, frames, words);
  if (const auto trouble = model.trouble()) std::cerr << "warning: " << trouble->what() << "\n";
  const edge_app::Release release = model.release();
  const auto middle = taken_ms.begin() + static_cast<ptrdiff_t>(taken_ms.size() / 2);
  std::nth_element(taken_ms.begin(), middle, taken_ms.end());
  std::cout << release.model << " " << release.precision << ": " << release.path << ", sha256 " << release.sha256 << ", "
            << taken_ms.size() << " frames, median " << *middle << " ms, " << read_peak_mb() << " MB\n";
  return 0;
}

}  // namespace

int main(int count, char** words) {
  return edge_app::run_program(count, words,
                               {{"--batch", 1},
                                {"--repeat", 1},
                                {"--changes", 1},
                                {"--until-trouble", 0},
                                {"--decode", 0},
                                {"--raw", 0},
                                {"--warn", 0},
                                {"--agent-limit-ms", 1},
                                {"--picture", 2},
                                {"--text", 1},
                                {"--boxes", 1}},
                               run);
}
