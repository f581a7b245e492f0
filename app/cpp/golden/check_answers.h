#pragma once

#include "decoders/meaning.h"
#include "golden/folder.h"

namespace edge_app {

// Throws Error (18) where the decoder of this application does not make of the first golden outputs of a release what its agent makes
// of them: numbers that count are the same, scores to 1e-4 of themselves, boxes to 1e-4 pixels (docs/application.md).
void check_answers(const GoldenFolder& golden, const Meaning& meaning);

}  // namespace edge_app
