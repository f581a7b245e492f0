#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace edge_app {

// How a picture becomes an input (toolchain/agent/sensor.py).
struct PictureSpec {
  std::string input, type, layout, resize, colour;
  int64_t channels = 0, height = 0, width = 0;
  uint8_t fill = 0;
  double crop_share = 1;
};

// Reads what a manifest says of the picture that feeds an input; throws Error (23) for what the vocabulary lacks.
PictureSpec read_picture_spec(const nlohmann::json& picture, const std::string& input, const std::string& where);

}  // namespace edge_app
