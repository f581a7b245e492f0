#include "decoders/decoder.h"

#include <map>

#include "decoders/members.h"

namespace edge_app {

std::unique_ptr<Decoder> make_decoder(const std::string& spec) {
  using Make = std::unique_ptr<Decoder> (*)(DecoderOptions&);
  static const std::map<std::string, Make> known = {
      {"anchor_free", make_anchor_free},   {"argmax_mask", make_argmax_mask},
      {"boxes", make_boxes},               {"ctc_greedy", make_ctc_greedy},
      {"heat_maps", make_heat_maps},       {"points", make_points},
      {"sigmoid", make_sigmoid},           {"reconstruction_error", make_reconstruction_error},
      {"softmax", make_softmax},           {"ssd", make_ssd},
      {"yolo", make_yolo},                 {"threshold_mask", make_threshold_mask},
      {"detections", make_detections},     {"token_argmax", make_token_argmax},
  };
  DecoderOptions options(spec);
  const std::string& name = options.decoder();
  const auto found = known.find(name);
  if (found == known.end()) {
    std::string names;
    for (const auto& item : known) names += (names.empty() ? "" : ", ") + item.first;
    throw Error(Code::kUsage, "C++ has no decoder of this name", "metric.decoder", "one of " + names, name,
                "read the outputs as they are, with model(inputs), and decode them yourself");
  }
  std::unique_ptr<Decoder> decoder = found->second(options);
  options.close();
  return decoder;
}

}  // namespace edge_app
