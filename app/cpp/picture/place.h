// Where a picture lies in the payload's input.
#pragma once

#include <string>

#include "edge_app.h"
#include "picture/spec.h"

namespace edge_app {

[[noreturn]] void refuse_picture(const std::string& expected, const std::string& found);

// As toolchain/agent/measure/preprocess/place.py.
Placement place_picture(const PictureSpec& spec, int64_t source_height, int64_t source_width);

}  // namespace edge_app
