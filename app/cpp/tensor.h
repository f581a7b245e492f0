// Shapes in words, and the refusal of a frame.
#pragma once

#include <string>
#include <vector>

#include "edge_app.h"

namespace edge_app {

std::string write_shape(const std::vector<int64_t>& shape);

[[noreturn]] void refuse_frame(const std::string& happened, const std::string& where, const std::string& expected,
                               const std::string& found);

}  // namespace edge_app
