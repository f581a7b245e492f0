// Golden inputs of few different values, which lie there as the numbers of these (toolchain/agent/measure/levels.py).
#pragma once

#include <string>

#include "edge_app.h"

namespace edge_app {

// golden/input-0.levels.npy beside golden/input-0.npy.
std::string find_levels_path(const std::string& path);

// What numbers (n, ...) stand for; throws Error (23) where the two do not fit.
Tensor expand_levels(const Tensor& numbers, const Tensor& levels, const std::string& where);

}  // namespace edge_app
