// What an application gives, held against what the payload takes.
#pragma once

#include <vector>

#include "edge_app.h"

namespace edge_app {

// Throws FrameError; where `is_stacked`, the first axis of an input is no batch axis.
void check_frame(const Inputs& inputs, const std::vector<TensorSpec>& specs, bool is_stacked);

}  // namespace edge_app
