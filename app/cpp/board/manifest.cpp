#include "board/manifest.h"

#include "board/document.h"
#include "picture/yuv.h"

namespace edge_app {
namespace {

using nlohmann::json;

// Of toolchain/agent/manifest.py; tests/app/test_cpp.py holds them against each other.
constexpr int kManifestSchema = 5;

std::vector<TensorSpec> read_specs(const json& array) {
  std::vector<TensorSpec> specs;
  for (const json& item : array) {
    TensorSpec spec{item.at("name"), item.at("dtype"), {}};
    for (const json& size : item.at("shape")) spec.shape.push_back(size.is_null() ? -1 : size.get<int64_t>());
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace

Manifest read_manifest(const json& document, const std::string& where) {
  check_schema(document, kManifestSchema, where);
  Manifest manifest;
  manifest.model = document.at("model");
  manifest.target = document.at("target");
  manifest.runtime = document.at("runtime");
  manifest.threads = document.at("threads");
  manifest.is_stacked = document.at("golden").at("stacked");
  manifest.inputs = read_specs(document.at("inputs"));
  manifest.outputs = read_specs(document.at("outputs"));
  for (const json& item : document.at("candidates")) manifest.candidates[item.at("precision")] = item.at("path");
  const json& sensor = document.at("input");
  if (!sensor.is_null() && !sensor.at("picture").is_null()) {
    const json& picture = sensor.at("picture");
    const std::string colour = picture.at("colour");
    if (colour != "RGB" && colour != "BGR" && colour != "grey" && !is_yuv(colour))
      throw Error(Code::kMalformed, "the sensor gives colours that are not known here", where + ": input.picture.colour",
                  "RGB, BGR, grey or a YUV", colour, "build the application with the app/cpp of the toolchain that deployed");
    manifest.picture = {sensor.at("name"),          picture.at("type"),   picture.at("layout"), picture.at("resize"), colour,
                        colour == "grey" ? 1 : 3, picture.at("height"), picture.at("width"),  picture.at("fill"),
                        picture.at("crop_share")};
  }
  if (const json& decoder = document.at("metric").at("decoder"); !decoder.is_null()) manifest.decoder = decoder.dump();
  if (const json& classes = document.at("output").at("classes"); !classes.is_null()) manifest.classes = classes.get<std::vector<std::string>>();
  for (const json& item : document.at("files"))
    manifest.files[item.at("path")] = {item.at("size_bytes").get<uint64_t>(), item.at("sha256")};
  return manifest;
}

}  // namespace edge_app
