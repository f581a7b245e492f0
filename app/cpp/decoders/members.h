// The decoders, a function each; make_decoder knows their names.
#pragma once

#include <memory>

#include "decoders/decoder.h"
#include "decoders/options.h"

namespace edge_app {

std::unique_ptr<Decoder> make_softmax(DecoderOptions& options);
std::unique_ptr<Decoder> make_sigmoid(DecoderOptions& options);
std::unique_ptr<Decoder> make_argmax_mask(DecoderOptions& options);
std::unique_ptr<Decoder> make_threshold_mask(DecoderOptions& options);
std::unique_ptr<Decoder> make_ctc_greedy(DecoderOptions& options);
std::unique_ptr<Decoder> make_token_argmax(DecoderOptions& options);
std::unique_ptr<Decoder> make_points(DecoderOptions& options);
std::unique_ptr<Decoder> make_heat_maps(DecoderOptions& options);
std::unique_ptr<Decoder> make_reconstruction_error(DecoderOptions& options);
std::unique_ptr<Decoder> make_boxes(DecoderOptions& options);
std::unique_ptr<Decoder> make_detections(DecoderOptions& options);
std::unique_ptr<Decoder> make_anchor_free(DecoderOptions& options);
std::unique_ptr<Decoder> make_yolo(DecoderOptions& options);
std::unique_ptr<Decoder> make_ssd(DecoderOptions& options);

}  // namespace edge_app
