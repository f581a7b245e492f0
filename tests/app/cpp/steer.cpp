// A model that is steered by words on stdin, and goes on after an error as an application does:
//
//     steer ROOT FRAMES ROW_BYTES INPUT SHAPE_OF_A_ROW
//
//     run START COUNT      answers NAME NUMBER ... (hexadecimal), or error CODE WORDS
//     same THREADS COUNT   so many threads run a frame of their own so often: same, or another
//     refresh              refreshed 0 or 1, or error CODE WORDS
//     device NUMBER        makes it the device of this thread
//     which                device NUMBER of this thread
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <thread>

#include "edge_app.h"

namespace {

std::string one_line(std::string text) {
  for (char& letter : text)
    if (letter == '\n') letter = ' ';
  return text;
}

void say(const std::string& text) { std::cout << text << std::endl; }

struct Frames {
  std::vector<char> bytes;
  size_t row_bytes;
  std::string name;
  std::vector<int64_t> row;

  edge_app::Inputs take(int64_t start, int64_t count) const {
    std::vector<int64_t> shape{count};
    shape.insert(shape.end(), row.begin(), row.end());
    return {{name, {"float32", shape, bytes.data() + static_cast<size_t>(start) * row_bytes}}};
  }
};

void run(const edge_app::Model& model, const Frames& frames, int64_t start, int64_t count) {
  std::string text = "answers";
  for (const auto& [name, tensor] : model(frames.take(start, count))) {
    text += " " + name;
    const auto* numbers = tensor.as<float>();
    for (int64_t index = 0; index < edge_app::count_numbers(tensor.shape); ++index) {
      char number[40];
      std::snprintf(number, sizeof number, " %a", static_cast<double>(numbers[index]));
      text += number;
    }
  }
  say(text);
}

void run_at_once(const edge_app::Model& model, const Frames& frames, int threads, int count) {
  const auto all = static_cast<int64_t>(frames.bytes.size() / frames.row_bytes);
  std::atomic<bool> is_same{true};
  std::vector<std::thread> runners;
  for (int thread = 0; thread < threads; ++thread)
    runners.emplace_back([&, frame = thread % all, expected = model(frames.take(thread % all, 1))] {
      for (int turn = 0; turn < count; ++turn)
        for (const auto& [name, tensor] : model(frames.take(frame, 1)))
          if (tensor.bytes != expected.at(name).bytes) is_same = false;
    });
  for (std::thread& runner : runners) runner.join();
  say(is_same ? "same" : "another");
}

void steer(edge_app::Model& model, const Frames& frames) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    int64_t first = 0, second = 0;
    words >> command >> first >> second;
    try {
      if (command == "run") run(model, frames, first, second);
      else if (command == "same") run_at_once(model, frames, static_cast<int>(first), static_cast<int>(second));
      else if (command == "refresh") say(std::string("refreshed ") + (model.refresh() ? "1" : "0"));
      else if (command == "device") say("code " + std::to_string(cudaSetDevice(static_cast<int>(first))));
      else if (command == "which") {
        int device = -1;
        cudaGetDevice(&device);
        say("device " + std::to_string(device));
      }
    } catch (const edge_app::Error& error) {
      say("error " + std::to_string(static_cast<int>(error.code)) + " " + one_line(error.what()));
    }
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 6) return 2;
  try {
    std::ifstream file(words[2], std::ios::binary);
    Frames frames{{std::istreambuf_iterator<char>(file), {}}, static_cast<size_t>(std::atoll(words[3])), words[4], {}};
    std::stringstream sizes(words[5]);
    for (std::string size; std::getline(sizes, size, ',');) frames.row.push_back(std::stoll(size));
    edge_app::Options options;
    options.check_interval = std::chrono::milliseconds(0);
    edge_app::Model model(words[1], options);
    say("open " + model.release().bundle_id);
    steer(model, frames);
    return 0;
  } catch (const edge_app::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code);
  }
}
