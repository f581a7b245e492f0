#include "picture/spec.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "edge_app.h"
#include "picture/yuv.h"

namespace edge_app {
namespace {

// Of toolchain/agent/sensor.py.
constexpr int64_t kSideMax = 4096;
constexpr double kCropShareMin = 0.1;

void require(bool holds, const std::string& where, const std::string& key, const std::string& expected, const nlohmann::json& found) {
  if (!holds)
    throw Error(Code::kMalformed, "the sensor gives a picture that is not known here", where + ": input.picture." + key, expected, found.dump(),
                "build the application with the app/cpp of the toolchain that deployed");
}

bool is_one_of(const std::string& word, const std::vector<std::string>& words) { return std::find(words.begin(), words.end(), word) != words.end(); }

}  // namespace

PictureSpec read_picture_spec(const nlohmann::json& picture, const std::string& input, const std::string& where) {
  PictureSpec spec;
  spec.input = input;
  spec.type = picture.at("type");
  spec.layout = picture.at("layout");
  spec.resize = picture.at("resize");
  spec.colour = picture.at("colour");
  spec.channels = spec.colour == "grey" ? 1 : 3;
  require(is_one_of(spec.layout, {"NHWC", "NCHW"}), where, "layout", "NHWC or NCHW", spec.layout);
  require(is_one_of(spec.resize, {"none", "letterbox", "stretch", "crop"}), where, "resize", "none, letterbox, stretch or crop", spec.resize);
  require(is_one_of(spec.colour, {"RGB", "BGR", "grey"}) || is_yuv(spec.colour), where, "colour", "RGB, BGR, grey or a YUV", spec.colour);
  const auto read_whole = [&](const char* key, int64_t least, int64_t most) {
    const nlohmann::json& number = picture.at(key);
    const std::string expected = std::to_string(least) + " to " + std::to_string(most);
    require(number.is_number_integer() && number >= least && number <= most, where, key, expected, number);
    return number.get<int64_t>();
  };
  spec.height = read_whole("height", 1, kSideMax);
  spec.width = read_whole("width", 1, kSideMax);
  spec.fill = static_cast<uint8_t>(read_whole("fill", 0, 255));
  const nlohmann::json& share = picture.at("crop_share");
  require(share.is_number() && share >= kCropShareMin && share <= 1, where, "crop_share", "0.1 to 1", share);
  spec.crop_share = share;
  return spec;
}

}  // namespace edge_app
