#include "decoders/grids.h"

#include <array>

namespace edge_app {

std::vector<std::string> choose_outputs(const std::string& decoder, const Outputs& outputs, const std::vector<std::string>& order,
                                        const std::vector<std::string>& named, size_t count, bool takes_first) {
  std::vector<std::string> names = named.empty() ? order : named;
  if (named.empty() && takes_first && !names.empty()) names.resize(1);
  if (names.size() != count)
    refuse_part(decoder, "the outputs", std::to_string(count), std::to_string(names.size()), "name the outputs in the options, and deploy again");
  int64_t samples = -1;
  for (const std::string& name : names) {
    const Tensor& tensor = take_output(decoder, outputs, order, name);
    const int64_t found = tensor.shape.empty() ? 0 : tensor.shape[0];
    if (samples >= 0 && found != samples) refuse_part(decoder, "the outputs", "one number of samples", std::to_string(samples) + " and " + std::to_string(found));
    samples = found;
  }
  return names;
}

void add_middle_and_size(std::vector<float>& boxes, float x, float y, float width, float height) {
  std::array<float, 4> box{x, y, width, height};
  make_corners(box.data(), "cxcywh");
  boxes.insert(boxes.end(), box.begin(), box.end());
}

void add_distances(std::vector<float>& boxes, float x, float y, const float* distances) {
  boxes.insert(boxes.end(), {x - distances[0], y - distances[1], x + distances[2], y + distances[3]});
}

}  // namespace edge_app
