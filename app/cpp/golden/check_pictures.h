#pragma once

#include "golden/folder.h"

namespace edge_app {

// Throws Error (18) where this application does not make of the golden frames of a release what its agent makes of them, bit for
// bit: inputs, where frames lie in them, boxes restored.
void check_pictures(const GoldenFolder& golden);

}  // namespace edge_app
