// What detectors share that read grids: their outputs in order, one for each stride.
#pragma once

#include "decoders/detections.h"

namespace edge_app {

// The outputs that are named, of none all or the first `count`; each with the same number of samples. Throws Error (23) for
// another number than `count`.
std::vector<std::string> choose_outputs(const std::string& decoder, const Outputs& outputs, const std::vector<std::string>& order,
                                        const std::vector<std::string>& named, size_t count, bool takes_first);

// Appends a box of a middle and a size, or of a middle and distances to left, top, right and bottom.
void add_middle_and_size(std::vector<float>& boxes, float x, float y, float width, float height);
void add_distances(std::vector<float>& boxes, float x, float y, const float* distances);

}  // namespace edge_app
