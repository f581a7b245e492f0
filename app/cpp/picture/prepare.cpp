#include "picture/prepare.h"

#include <cstring>

#include "picture/lay.h"
#include "picture/place.h"
#include "picture/yuv.h"
#include "tensor.h"

namespace edge_app {

Prepared prepare_picture(const std::optional<PictureSpec>& spec, const TensorView& picture) {
  if (!spec || spec->type != "uint8" || !picture.data)
    refuse_picture("a recipe with an [input] of bytes", !spec ? "none" : picture.data ? spec->type : "no data");
  if (is_yuv(spec->colour)) {
    const Tensor made = decode_yuv(picture, spec->colour);
    const Placement at = place_picture(*spec, made.shape[0], made.shape[1]);
    return {spec->input, lay_picture(*spec, made.bytes.data(), at), at};
  }
  if (picture.dtype != "uint8" || picture.shape.size() != 3 || picture.shape[2] != spec->channels)
    refuse_picture("uint8 (height, width, " + std::to_string(spec->channels) + ")", picture.dtype + " " + write_shape(picture.shape));
  const Placement at = place_picture(*spec, picture.shape[0], picture.shape[1]);
  return {spec->input, lay_picture(*spec, static_cast<const uint8_t*>(picture.data), at), at};
}

void restore_boxes(Tensor& boxes, const Placement& at) {
  for (size_t start = 0; start + sizeof(std::array<float, 4>) <= boxes.bytes.size(); start += sizeof(std::array<float, 4>)) {
    std::array<float, 4> box{};
    std::memcpy(box.data(), boxes.bytes.data() + start, sizeof box);
    box = at.restore(box);
    std::memcpy(boxes.bytes.data() + start, box.data(), sizeof box);
  }
}

}  // namespace edge_app
