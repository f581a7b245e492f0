#include "opened.h"

#include <sys/stat.h>

#include <algorithm>

#include "board/file.h"
#include "frame.h"

namespace edge_app {

Opened::Opened(Release release, Manifest manifest, Meaning meaning, std::shared_ptr<const Tokenizer> tokenizer, Descriptor hold,
               const Runtime& runtime, const PayloadFile& file)
    : release_(std::move(release)),
      manifest_(std::move(manifest)),
      meaning_(std::move(meaning)),
      tokenizer_(std::move(tokenizer)),
      hold_(std::move(hold)),
      path_(file.path),
      identity_(file.identity),
      session_(runtime.open({file.bytes, release_.path, manifest_.threads, manifest_.pins_threads, manifest_.inputs, manifest_.outputs})) {}

std::optional<Error> Opened::find_change() const {
  struct stat status {};
  std::string found;
  if (lstat(path_.c_str(), &status) != 0) found = describe_errno();
  else if (identify(status) != identity_) found = "another file, or other bytes";
  if (found.empty()) return std::nullopt;
  return Error(Code::kContent, "the payload that answers is not on the board any more", path_, "the file that was opened", found,
               "deploy the bundle again; what is open answers on");
}

bool Opened::is_of(const Release& release, const PayloadFile& file) const {
  return release.bundle_id == release_.bundle_id && release.path == release_.path && release.sha256 == release_.sha256 &&
         release.proven_at == release_.proven_at && file.identity == identity_;
}

void Opened::warm_up() const {
  Inputs inputs;
  std::vector<std::vector<uint8_t>> zeros;
  for (const TensorSpec& spec : manifest_.inputs) {
    std::vector<int64_t> shape = spec.shape;
    if (!manifest_.is_stacked && !shape.empty() && shape[0] < 0) shape[0] = 1;
    const size_t size = count_bytes(spec.dtype);
    if (!size || std::find(shape.begin(), shape.end(), -1) != shape.end()) return;
    zeros.emplace_back(static_cast<size_t>(count_numbers(shape)) * size + 1);
    inputs[spec.name] = {spec.dtype, shape, zeros.back().data()};
  }
  try {
    // TensorRT captures its graph in the second run of a shape.
    for (int turn = 0; turn < 2; ++turn) run(inputs);
  } catch (const Error&) {  // zeros may be no input that a payload takes; frames are another matter
  }
}

Outputs Opened::tokenize(const std::string& text) const {
  if (!tokenizer_)
    throw FrameError(Code::kUsage, "this model takes no text", "text", "a tokenizer in [input] of the recipe", "none",
                     "give what inputs() says");
  return tokenizer_->tokenize(text, manifest_.inputs);
}

Outputs Opened::run(const Inputs& inputs) const {
  check_frame(inputs, manifest_.inputs, manifest_.is_stacked);
  return session_->run(inputs);
}

}  // namespace edge_app
