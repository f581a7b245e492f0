// Runs the proven model of a board on a file of frames, as a check and as an example:
//
//     edge_app_run ROOT ANSWERS NAME=FRAMES [NAME=FRAMES ...] [--batch N] [--repeat N] [--changes N] [--until-trouble] [--decode] [--warn] [--agent-limit-ms N]
//     edge_app_run ROOT ANSWERS --picture ROWSxWIDTH PICTURE [--boxes BOXES] [--decode]
//
// FRAMES has the bytes of an input, sample after sample, in C order; ANSWERS.NAME gets those of each output, and with --decode those of
// what they mean, of all frames as one batch. It exits with
// 0, or with the code of the error (docs/boards.md). With --repeat it runs all of them so often, with --changes
// until the release has changed so often, with --until-trouble until something is told against it; a line on stderr says which one answers.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "edge_app.h"

namespace {

using edge_app::Inputs;
using edge_app::Model;
using edge_app::TensorSpec;

size_t count_bytes(const std::string& dtype) {
  if (dtype == "bool" || dtype == "int8" || dtype == "uint8") return 1;
  if (dtype == "float16" || dtype == "int16" || dtype == "uint16") return 2;
  return dtype == "float64" || dtype == "int64" || dtype == "uint64" ? 8 : 4;
}

std::vector<char> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw edge_app::Error(edge_app::Code::kUsage, "the frames cannot be read", path, "a file", "none", "correct the path");
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const void* bytes, size_t size) {
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
}

// Writes what outputs mean: ANSWERS.NAME, and ANSWERS.NAME.offsets where samples have different numbers of rows.
void write_meaning(const std::string& answers, const edge_app::Answers& found) {
  for (const auto& [name, answer] : found) {
    write(answers + "." + name, answer.values.bytes.data(), answer.values.bytes.size());
    if (!answer.offsets.empty()) write(answers + "." + name + ".offsets", answer.offsets.data(), answer.offsets.size() * sizeof(int64_t));
  }
}

// Writes what the payload takes of a picture, what it answers, and boxes of the input as they lie in the picture.
int show(const Model& model, const std::string& answers, const std::vector<char>& bytes, int64_t height, int64_t width,
         const std::string& boxes, bool is_decoded) {
  const std::vector<uint8_t> pixels(bytes.begin(), bytes.end());
  const int64_t channels = height > 0 && width > 0 ? static_cast<int64_t>(pixels.size()) / height / width : 0;
  const edge_app::TensorView picture = edge_app::view(pixels, {height, width, channels});
  const edge_app::Prepared prepared = model.prepare(picture);
  write(answers + ".tensor", prepared.tensor.bytes.data(), prepared.tensor.bytes.size());
  for (const auto& [name, tensor] : model.see(picture).outputs) write(answers + "." + name, tensor.bytes.data(), tensor.bytes.size());
  if (is_decoded) write_meaning(answers, model.find(picture).answers);
  std::vector<std::array<float, 4>> restored;
  const std::vector<char> given = boxes.empty() ? std::vector<char>() : read(boxes);
  for (size_t start = 0; start + 16 <= given.size(); start += 16) {
    std::array<float, 4> box{};
    std::memcpy(box.data(), given.data() + start, 16);
    restored.push_back(prepared.at.restore(box));
  }
  write(answers + ".restored", restored.data(), restored.size() * 16);
  return 0;
}

int run(int count, char** words) {
  std::string root, answers;
  std::map<std::string, std::vector<char>> frames;
  edge_app::Options options;
  int64_t batch = 1, repeat = 1, changes = 0, height = 0, width = 0;
  std::string picture, boxes;
  bool is_decoded = false, waits_for_trouble = false;
  for (int index = 1; index < count; ++index) {
    const std::string word = words[index];
    const size_t equals = word.find('=');
    if (word == "--until-trouble") waits_for_trouble = true;
    else if (word == "--decode") is_decoded = true;
    else if (word == "--warn") options.warns_of_unproven = true;
    else if (word == "--agent-limit-ms" && index + 1 < count) options.agent_limit = std::chrono::milliseconds(std::atoll(words[++index]));
    else if (word == "--batch" && index + 1 < count) batch = std::atoll(words[++index]);
    else if (word == "--picture" && index + 2 < count) {
      if (std::sscanf(words[++index], "%" SCNd64 "x%" SCNd64, &height, &width) != 2) height = -1;
      picture = words[++index];
    } else if (word == "--boxes" && index + 1 < count) boxes = words[++index];
    else if (word == "--changes" && index + 1 < count) changes = std::atoll(words[++index]);
    else if (word == "--repeat" && index + 1 < count) repeat = std::atoll(words[++index]);
    else if (equals != std::string::npos && !root.empty()) frames[word.substr(0, equals)] = read(word.substr(equals + 1));
    else if (root.empty()) root = word;
    else answers = word;
  }
  if (root.empty() || answers.empty() || batch < 1 || repeat < 1) {
    std::cerr << "usage: edge_app_run ROOT ANSWERS NAME=FRAMES [NAME=FRAMES ...] [--batch N] [--repeat N] [--changes N] [--until-trouble] [--decode] [--warn] [--agent-limit-ms N]\n";
    return 2;
  }
  if (repeat > 1 || changes > 0 || waits_for_trouble) options.check_interval = std::chrono::milliseconds(20);
  Model model(root, options);
  for (const std::string& reason : model.reasons()) std::cerr << "warning: " << reason << "\n";
  if (!picture.empty()) return show(model, answers, read(picture), height, width, boxes, is_decoded);
  if (is_decoded) {
    Inputs inputs;
    for (const TensorSpec& spec : model.inputs()) {
      std::vector<int64_t> shape = spec.shape;
      shape[0] = 1;
      const std::vector<char>& bytes = frames[spec.name];
      shape[0] = static_cast<int64_t>(bytes.size() / (static_cast<size_t>(edge_app::count_numbers(shape)) * count_bytes(spec.dtype)));
      inputs[spec.name] = {spec.dtype, shape, bytes.data()};
    }
    write_meaning(answers, model.answer(inputs));
    return 0;
  }
  std::map<std::string, std::ofstream> files;
  for (const TensorSpec& spec : model.outputs()) files[spec.name].open(answers + "." + spec.name, std::ios::binary);
  std::string last;
  std::vector<double> taken_ms;
  for (int64_t turn = 0, seen = -1; turn < repeat || seen < changes || (waits_for_trouble && !model.trouble()); ++turn) {
    for (int64_t start = 0, samples = 1; start < samples; start += batch) {
      Inputs inputs;
      for (const TensorSpec& spec : model.inputs()) {
        const std::vector<char>& bytes = frames[spec.name];
        std::vector<int64_t> shape = spec.shape;
        shape[0] = 1;
        const size_t row = static_cast<size_t>(edge_app::count_numbers(shape)) * count_bytes(spec.dtype);
        samples = static_cast<int64_t>(bytes.size() / row);
        shape[0] = std::min(batch, samples - start);
        inputs[spec.name] = {spec.dtype, shape, bytes.data() + static_cast<size_t>(start) * row};
      }
      const auto begin = std::chrono::steady_clock::now();
      const edge_app::Outputs outputs = model(inputs);
      taken_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
      if (turn == 0)
        for (const auto& [name, tensor] : outputs)
          files[name].write(reinterpret_cast<const char*>(tensor.bytes.data()),
                            static_cast<std::streamsize>(tensor.bytes.size()));
    }
    if (const std::string now = model.release().bundle_id; now != last) {
      std::cerr << "release " << (last = now) << std::endl;
      ++seen;
    }
  }
  if (taken_ms.empty())
    throw edge_app::FrameError(edge_app::Code::kUsage, "there are no frames", "FRAMES", "one or more", "none", "give some");
  if (const auto trouble = model.trouble()) std::cerr << "warning: " << trouble->what() << "\n";
  const edge_app::Release release = model.release();
  const auto middle = taken_ms.begin() + static_cast<ptrdiff_t>(taken_ms.size() / 2);
  std::nth_element(taken_ms.begin(), middle, taken_ms.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::cout << release.model << " " << release.precision << ": " << release.path << ", sha256 " << release.sha256 << ", "
            << taken_ms.size() << " frames, median " << *middle << " ms, " << static_cast<double>(usage.ru_maxrss) / 1024 << " MB\n";
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
