// YUV frames as cameras give them, made RGB in whole numbers (docs/input_output.md).
#pragma once

#include "edge_app.h"

namespace edge_app {

// Whether a colour of a manifest is one, such as NV12/BT.601/limited.
bool is_yuv(const std::string& colour);

// Returns a frame as RGB (h, w, 3). NV12, NV21 and I420 are (3h / 2, w) or (3h / 2, w, 1), YUYV is (h, w, 2); throws FrameError for
// any other.
Tensor decode_yuv(const TensorView& frame, const std::string& colour);

}  // namespace edge_app
