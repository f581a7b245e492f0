// The tokenizer of a release.
#pragma once

#include <memory>

#include "golden/folder.h"
#include "text/tokenizer.h"

namespace edge_app {

// Returns the tokenizer of a release, of the very bytes that were hashed; null where no text feeds the payload. Throws Error: 11 for
// a vocabulary that is not the manifest's, 23 for one that is none.
std::shared_ptr<const Tokenizer> open_tokenizer(const GoldenFolder& golden);

}  // namespace edge_app
