#include "decoders/meaning.h"

namespace edge_app {

Meaning::Meaning(const Manifest& manifest, bool is_asked_for) {
  for (const TensorSpec& spec : manifest.outputs) outputs_.push_back(spec.name);
  for (const TensorSpec& spec : manifest.inputs) inputs_.push_back(spec.name);
  const char* const fix = "read the outputs as they are, with model(inputs)";
  if (manifest.decoder.empty())
    refusal_ = Error(Code::kUsage, "the outputs of this model are its answers: it has no decoder", "metric.decoder", "one", "none", fix);
  else if (!is_asked_for)
    refusal_ = Error(Code::kUsage, "this model was opened without a decoder", "Options::decodes", "true", "false", fix);
  if (refusal_) return;
  try {
    decoder_ = make_decoder(manifest.decoder);
  } catch (const Error& error) {
    refusal_ = error;
  }
}

Answers Meaning::decode(const Outputs& outputs, const Inputs& inputs) const {
  if (!decoder_) throw *refusal_;
  return decoder_->decode(outputs, outputs_, inputs, inputs_);
}

}  // namespace edge_app
