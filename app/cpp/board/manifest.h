// What a bundle's manifest says that an application needs.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "edge_app.h"
#include "picture/spec.h"
#include "text/spec.h"

namespace edge_app {

struct Entry {
  uint64_t size_bytes;
  std::string sha256;
};

// A frame, the input that it becomes, where it lies in that, and boxes restored to it, as .npy files.
struct PicturePair {
  std::string picture, tensor, restored;
  int64_t left = 0, top = 0, width = 0, height = 0;
};

// Files by name: of the evaluation set, and what this application's own pre- and post-processing is held against.
struct Golden {
  int64_t samples = 0;
  std::map<std::string, std::string> inputs, outputs, answers;
  std::vector<PicturePair> pictures;
  std::string boxes;  // empty where there are no pictures
  std::string texts_utf8, texts_offsets;  // empty where there are no texts
  std::map<std::string, std::string> texts_inputs;
};

// A payload in a precision, by what it is opened, on how many threads, and whether each keeps to a CPU of its own.
struct Candidate {
  std::string precision, runtime, path;
  int threads = 1;
  bool pins_threads = false;

  bool operator==(const Candidate& other) const {
    return precision == other.precision && runtime == other.runtime && path == other.path && threads == other.threads &&
           pins_threads == other.pins_threads;
  }
};

// Throws json::exception for keys and types.
Candidate read_candidate(const nlohmann::json& document);

struct Manifest {
  std::string model, target;
  int threads = 1;  // of the candidate that was proven, as what follows
  bool pins_threads = false;
  bool is_stacked = false;
  std::vector<TensorSpec> inputs, outputs;
  std::vector<Candidate> candidates;
  std::map<std::string, Entry> files;
  Golden golden;
  std::optional<PictureSpec> picture;
  std::optional<TextSpec> text;
  std::vector<std::string> classes;
  std::string decoder;  // as JSON; empty where outputs are answers
};

// Throws Error (23) for another schema, and for parts that do not fit together; json::exception for keys and types.
Manifest read_manifest(const nlohmann::json& document, const std::string& where);

}  // namespace edge_app
