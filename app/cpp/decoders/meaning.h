// What the outputs of a release mean, or why this application cannot say it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "board/manifest.h"
#include "decoders/decoder.h"

namespace edge_app {

class Meaning {
 public:
  // Makes the decoder of a manifest, where that is asked for. One that is not known here is told to who asks for what the outputs
  // mean: the outputs themselves are right all the same.
  Meaning(const Manifest& manifest, bool is_asked_for);

  bool has_decoder() const { return decoder_ != nullptr; }
  // Throws Error (2) where there is none, (23) for outputs that it cannot read.
  Answers decode(const Outputs& outputs, const Inputs& inputs) const;

 private:
  std::unique_ptr<Decoder> decoder_;
  std::optional<Error> refusal_;
  std::vector<std::string> outputs_, inputs_;
};

}  // namespace edge_app
