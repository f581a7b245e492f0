#pragma once

#include "edge_app.h"
#include "picture/spec.h"

namespace edge_app {

// Resizes a picture into the input that it is placed in, as toolchain/agent/measure/preprocess/resize.py.
Tensor lay_picture(const PictureSpec& spec, const uint8_t* picture, const Placement& at);

}  // namespace edge_app
