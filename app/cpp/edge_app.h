// Opens the model that was proven on this board, in the application's own process (docs/application.md).
//
//     edge_app::Model model("/opt/edge");
//     edge_app::Outputs answers = model({{"input", edge_app::view(pixels, {1, 3, 96, 96})}});
//
// C++17, ONNX Runtime's C API, OpenSSL, nlohmann-json. Whether the verdict holds is asked of the board's own agent.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace edge_app {

// The exit codes of every command of the toolchain (docs/boards.md).
enum class Code : int {
  kUnexpected = 1,
  kUsage = 2,
  kMissing = 3,
  kSignature = 10,
  kContent = 11,
  kIncompatible = 12,
  kReplay = 13,
  kStorage = 14,
  kBusy = 17,
  kParity = 18,
  kMalformed = 23,
  kExpired = 25,
};

// What happened, where, what was expected and found, the fix; what() has all of it.
class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& happened, const std::string& where, const std::string& expected,
        const std::string& found, const std::string& fix);
  Code code;
  std::string happened, where, expected, found, fix;
};

// The verdict holds no more, or there is none.
class ExpiredError : public Error {
 public:
  using Error::Error;
};

// A frame is not what the payload takes; the model goes on with the next one.
class FrameError : public Error {
 public:
  using Error::Error;
};

// An input or output: dtype is numpy's name of it, -1 is an axis of any size.
struct TensorSpec {
  std::string name, dtype;
  std::vector<int64_t> shape;
};

// An array that somebody else owns, in C order.
struct TensorView {
  std::string dtype;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;

  // As numbers of a type; throws Error (2) where the tensor has others.
  template <typename Number>
  const Number* as() const;
};

using Inputs = std::map<std::string, TensorView>;
using Outputs = std::map<std::string, Tensor>;

// What outputs mean: a row for each sample; or where samples have different numbers of rows, such as boxes or the bytes of a text
// (UTF-8), those of all, of which sample i has offsets[i] to offsets[i + 1].
struct Answer {
  Tensor values;
  std::vector<int64_t> offsets;
};

using Answers = std::map<std::string, Answer>;

template <typename Number>
struct Dtype;
template <>
struct Dtype<float> { static constexpr const char* name = "float32"; };
template <>
struct Dtype<double> { static constexpr const char* name = "float64"; };
template <>
struct Dtype<int8_t> { static constexpr const char* name = "int8"; };
template <>
struct Dtype<uint8_t> { static constexpr const char* name = "uint8"; };
template <>
struct Dtype<int16_t> { static constexpr const char* name = "int16"; };
template <>
struct Dtype<int32_t> { static constexpr const char* name = "int32"; };
template <>
struct Dtype<int64_t> { static constexpr const char* name = "int64"; };
template <>
struct Dtype<bool> { static constexpr const char* name = "bool"; };

// The size of the vector must be that of the shape; throws FrameError.
template <typename Number>
TensorView view(const std::vector<Number>& numbers, std::vector<int64_t> shape);

// Where a picture lies in the payload's input (docs/input_output.md): its left upper corner and its size there.
struct Placement {
  int64_t left, top, width, height, source_width, source_height;

  // A box left, top, right, bottom of the input in pixels of the picture, ending where that does.
  std::array<float, 4> restore(const std::array<float, 4>& box) const;
};

// What the payload takes of a picture: `tensor` is the input `name`.
struct Prepared {
  std::string name;
  Tensor tensor;
  Placement at;
};

struct Sight {
  Outputs outputs;
  Placement at;
};

// What a picture means: boxes in pixels of the picture, masks in those of the input.
struct Found {
  Answers answers;
  Placement at;
};

struct Options {
  // Opens a release whose verdict holds no more all the same; reasons() says why. One without a verdict never opens.
  bool warns_of_unproven = false;
  // How often to look for a new release, on a thread of the model's own; 0 looks at refresh() alone.
  std::chrono::milliseconds check_interval{1000};
  // Runs before the first frame, until what a runtime prepares in its first runs is done.
  bool warms_up = true;
  // Makes the decoder of the manifest, and holds it against the golden answers of the release; without it answer() and find() refuse.
  bool decodes = true;
  // After which the board's agent is taken for one that does not answer.
  std::chrono::milliseconds agent_limit{60000};
};

struct Release {
  std::string bundle_id, model, precision, path, sha256, proven_at;
};

// May be called by several threads. Every call is answered by one release: by the new one as soon as that is open.
class Model {
 public:
  // Opens the payload that was proven of the active release, and never another; throws Error. What a frame becomes and what outputs
  // mean is held against the golden pairs of the release (docs/input_output.md): where it differs, Error (18).
  explicit Model(const std::string& root, Options options = {});
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  // The payload's outputs as they are; throws FrameError for inputs of another name, type or size.
  Outputs operator()(const Inputs& inputs) const;

  // The outputs for a picture of bytes (height, width, colours) as the camera gives it, or a frame of YUV where the manifest says so
  // (picture/yuv.h): resized and laid out as the manifest says. Throws FrameError for any other, and where the recipe has no [input] for pictures of bytes.
  Sight see(const TensorView& picture) const;
  // What `see` feeds to the payload.
  Prepared prepare(const TensorView& picture) const;

  // What the outputs mean, as the decoder of the manifest says (app/cpp/decoders/); throws Error (2) where it says none, or one
  // that is not known in C++, such as a file of the user's own.
  Answers answer(const Inputs& inputs) const;
  // The same of a picture, as `see` takes it.
  Found find(const TensorView& picture) const;
  // The outputs for a text in UTF-8, made tokens as the manifest says (docs/input_output.md), and what they mean; throw FrameError for what
  // is no text, and where the manifest has no tokenizer.
  Outputs read(const std::string& text) const;
  Answers answer(const std::string& text) const;
  // What `read` feeds to the payload.
  Outputs tokenize(const std::string& text) const;
  // The names of the classes; none where the recipe has no [output].
  std::vector<std::string> classes() const;

  Release release() const;
  std::vector<TensorSpec> inputs() const;
  std::vector<TensorSpec> outputs() const;
  int threads() const;
  // Why the verdict holds no more, a line each; nothing where it holds.
  std::vector<std::string> reasons() const;
  // What stands against the newest release, or became of the files of this one; nothing where all is well.
  std::optional<Error> trouble() const;
  // Whether nothing stands against what answers, as far as was looked.
  bool is_proven() const;
  // Looks now whether another release is active, and opens it; returns whether another one answers. Throws Error where
  // it cannot be opened; the old one goes on.
  bool refresh();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// How many numbers a shape has; throws FrameError for one with an axis below 0.
int64_t count_numbers(const std::vector<int64_t>& shape);
// How many bytes a number of this type takes, by numpy's name of it; 0 where that is not known.
size_t count_bytes(const std::string& dtype);
[[noreturn]] void refuse_numbers(const std::string& expected, const std::string& found);

template <typename Number>
const Number* Tensor::as() const {
  if (dtype != Dtype<Number>::name) refuse_numbers(dtype, Dtype<Number>::name);
  return reinterpret_cast<const Number*>(bytes.data());
}

template <typename Number>
TensorView view(const std::vector<Number>& numbers, std::vector<int64_t> shape) {
  const int64_t count = count_numbers(shape);
  if (count != static_cast<int64_t>(numbers.size()))
    refuse_numbers(std::to_string(count) + " numbers", std::to_string(numbers.size()));
  return {Dtype<Number>::name, std::move(shape), numbers.data()};
}

}  // namespace edge_app
