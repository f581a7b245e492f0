// The golden texts of a release, held against what this application makes of them.
#pragma once

#include "golden/folder.h"
#include "text/tokenizer.h"

namespace edge_app {

// Throws Error: 18 for a text of which the tokenizer makes other tokens than the board's agent, 23 for texts that are none.
void check_texts(const GoldenFolder& golden, const Tokenizer* tokenizer);

}  // namespace edge_app
