#include "board/manifest.h"

#include "board/document.h"

namespace edge_app {
namespace {

using nlohmann::json;

// Of toolchain/agent/manifest.py; tests/app/test_cpp.py holds them against each other.
constexpr int kManifestSchema = 7;

std::vector<TensorSpec> read_specs(const json& array) {
  std::vector<TensorSpec> specs;
  for (const json& item : array) {
    TensorSpec spec{item.at("name"), item.at("dtype"), {}};
    for (const json& size : item.at("shape")) spec.shape.push_back(size.is_null() ? -1 : size.get<int64_t>());
    specs.push_back(std::move(spec));
  }
  return specs;
}

Golden read_golden(const json& document) {
  Golden golden;
  golden.samples = document.at("samples");
  golden.inputs = document.at("inputs").get<std::map<std::string, std::string>>();
  golden.outputs = document.at("outputs").get<std::map<std::string, std::string>>();
  const json& pairs = document.at("pairs");
  golden.answers = pairs.at("answers").get<std::map<std::string, std::string>>();
  if (const json& boxes = pairs.at("boxes"); !boxes.is_null()) golden.boxes = boxes;
  for (const json& pair : pairs.at("pictures"))
    golden.pictures.push_back({pair.at("picture"), pair.at("tensor"), pair.at("restored"), pair.at("left"), pair.at("top"), pair.at("width"),
                               pair.at("height")});
  if (const json& texts = pairs.at("texts"); !texts.is_null()) {
    golden.texts_utf8 = texts.at("utf8");
    golden.texts_offsets = texts.at("offsets");
    golden.texts_inputs = texts.at("inputs").get<std::map<std::string, std::string>>();
  }
  return golden;
}

}  // namespace

Candidate read_candidate(const json& document) {
  return {document.at("precision"), document.at("runtime"), document.at("path"), document.at("threads"), document.at("pins_threads")};
}

Manifest read_manifest(const json& document, const std::string& where) {
  check_schema(document, kManifestSchema, where);
  Manifest manifest;
  manifest.model = document.at("model");
  manifest.target = document.at("target");
  manifest.is_stacked = document.at("golden").at("stacked");
  manifest.golden = read_golden(document.at("golden"));
  manifest.inputs = read_specs(document.at("inputs"));
  manifest.outputs = read_specs(document.at("outputs"));
  for (const json& item : document.at("candidates")) manifest.candidates.push_back(read_candidate(item));
  const json& sensor = document.at("input");
  if (!sensor.is_null() && !sensor.at("picture").is_null())
    manifest.picture = read_picture_spec(sensor.at("picture"), sensor.at("name"), where);
  manifest.text = read_text_spec(document, where);
  if (const json& decoder = document.at("metric").at("decoder"); !decoder.is_null()) manifest.decoder = decoder.dump();
  if (const json& classes = document.at("output").at("classes"); !classes.is_null()) manifest.classes = classes.get<std::vector<std::string>>();
  for (const json& item : document.at("files"))
    manifest.files[item.at("path")] = {item.at("size_bytes").get<uint64_t>(), item.at("sha256")};
  return manifest;
}

}  // namespace edge_app
