#pragma once

#include <cstdint>
#include <string>

namespace edge_app {

// How a picture becomes an input (toolchain/agent/sensor.py).
struct PictureSpec {
  std::string input, type, layout, resize, colour;
  int64_t channels = 0, height = 0, width = 0;
  uint8_t fill = 0;
  double crop_share = 1;
};

}  // namespace edge_app
