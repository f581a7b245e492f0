// The release that answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "board/descriptor.h"
#include "board/manifest.h"
#include "board/payload.h"
#include "decoders/meaning.h"
#include "edge_app.h"
#include "runtimes/runtime.h"
#include "text/tokenizer.h"

namespace edge_app {

// A payload that answers; it goes, session and hold, when the last one who runs it is done.
class Opened {
 public:
  Opened(Release release, Manifest manifest, Meaning meaning, std::shared_ptr<const Tokenizer> tokenizer, Descriptor hold,
         const Runtime& runtime, const PayloadFile& file);

  const Release& release() const { return release_; }
  const Manifest& manifest() const { return manifest_; }
  // The inputs of a text; throws FrameError, also where the manifest has no tokenizer.
  Outputs tokenize(const std::string& text) const;

  // What became of the payload's file since it was opened, or nothing: what runs goes on without it.
  std::optional<Error> find_change() const;
  bool is_of(const Release& release, const PayloadFile& file) const;

  void warm_up() const;
  Outputs run(const Inputs& inputs) const;
  Answers decode(const Outputs& outputs, const Inputs& inputs) const { return meaning_.decode(outputs, inputs); }

 private:
  Release release_;
  Manifest manifest_;
  Meaning meaning_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Descriptor hold_;
  std::string path_;
  std::vector<int64_t> identity_;
  std::unique_ptr<Session> session_;
};

}  // namespace edge_app
