#pragma once

#include <optional>

#include "edge_app.h"
#include "picture/spec.h"

namespace edge_app {

// Makes the input of a frame of the sensor's; throws FrameError for any other, and where no picture is described.
Prepared prepare_picture(const std::optional<PictureSpec>& spec, const TensorView& picture);

// Boxes (rows, 4) of the input, in pixels of the picture; in place.
void restore_boxes(Tensor& boxes, const Placement& at);

}  // namespace edge_app
