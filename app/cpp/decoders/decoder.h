// What the outputs of a payload mean: the decoders of toolchain/agent/measure/decoders/ in C++, one each, by the same names.
//
// Floats are computed in float32 where numpy does, so that classes, texts and masks are the same; exponentials of two libraries
// differ in their last bits (docs/application.md).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edge_app.h"

namespace edge_app {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // `order` and `fed` are the names of the outputs and inputs as the manifest has them: an option that names none takes the
  // first. Throws Error (23) for outputs that it cannot read.
  virtual Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs& inputs,
                         const std::vector<std::string>& fed) const = 0;
};

// Reads the decoder of a manifest, {"name": ..., "options": {...}} as JSON. Throws Error (2) for one that is not known here, such
// as a file of the user's own, and for options that it does not take; 23 for what is no JSON.
std::unique_ptr<Decoder> make_decoder(const std::string& spec);

}  // namespace edge_app
