#include "golden/check_pictures.h"

#include <array>
#include <cstring>

#include "picture/prepare.h"
#include "tensor.h"

namespace edge_app {
namespace {

using Box = std::array<float, 4>;

[[noreturn]] void differ(const std::string& where, const std::string& expected, const std::string& found) {
  throw Error(Code::kParity, "this application does not make of a golden frame what the board's agent makes of it", where, expected, found,
              "build the application with the app/cpp of the toolchain that deployed");
}

std::vector<Box> read_boxes(const NpyFile& file) {
  if (file.dtype() != "float32" || file.shape().size() != 2 || file.shape()[1] != 4)
    throw Error(Code::kMalformed, "golden boxes are none", file.where(), "float32 (rows, 4)", file.dtype() + " " + write_shape(file.shape()),
                "write the bundle again");
  const Tensor tensor = file.read_all();
  std::vector<Box> boxes(static_cast<size_t>(file.rows()));
  if (!boxes.empty()) std::memcpy(boxes.data(), tensor.bytes.data(), tensor.bytes.size());
  return boxes;
}

void check_pair(const GoldenFolder& golden, const PicturePair& pair, const std::vector<Box>& boxes) {
  const Tensor frame = golden.open(pair.picture).read_all(), expected = golden.open(pair.tensor).read_all();
  const Prepared made = prepare_picture(golden.manifest.picture, {frame.dtype, frame.shape, frame.bytes.data()});
  const Placement& at = made.at;
  if (at.left != pair.left || at.top != pair.top || at.width != pair.width || at.height != pair.height)
    differ(pair.picture, write_shape({pair.left, pair.top, pair.width, pair.height}), write_shape({at.left, at.top, at.width, at.height}));
  if (made.tensor.dtype != expected.dtype || made.tensor.shape != expected.shape || made.tensor.bytes != expected.bytes)
    differ(pair.tensor, "the same bits", "others");
  const std::vector<Box> restored = read_boxes(golden.open(pair.restored));
  if (restored.size() != boxes.size()) differ(pair.restored, std::to_string(boxes.size()) + " boxes", std::to_string(restored.size()));
  for (size_t index = 0; index < boxes.size(); ++index)
    if (at.restore(boxes[index]) != restored[index]) differ(pair.restored, "the same bits", "others");
}

}  // namespace

void check_pictures(const GoldenFolder& golden) {
  const Golden& files = golden.manifest.golden;
  // What is no picture of bytes cannot be shown to this application in the first place.
  if (!golden.manifest.picture || golden.manifest.picture->type != "uint8" || files.boxes.empty()) return;
  const std::vector<Box> boxes = read_boxes(golden.open(files.boxes));
  for (const PicturePair& pair : files.pictures) check_pair(golden, pair, boxes);
}

}  // namespace edge_app
