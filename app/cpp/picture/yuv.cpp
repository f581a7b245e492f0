#include "picture/yuv.h"

#include <algorithm>

namespace edge_app {
namespace {

// As toolchain/agent/measure/preprocess/yuv.py: what U adds to blue and to green, what V adds to red and to green, in 2^-16.
struct Coefficients {
  const char* name;
  int32_t floor, light, blue, green_of_u, red, green_of_v;
};

constexpr Coefficients kCoefficients[] = {
    {"BT.601/limited", 16, 76309, 132201, -25675, 104597, -53279},
    {"BT.601/full", 0, 65536, 116130, -22553, 91881, -46802},
    {"BT.709/limited", 16, 76309, 138438, -13975, 117489, -34925},
    {"BT.709/full", 0, 65536, 121609, -12276, 103206, -30679},
};
constexpr const char* kPackings[] = {"NV12", "NV21", "I420", "YUYV"};

const Coefficients* find_coefficients(const std::string& colour) {
  const size_t slash = colour.find('/');
  const auto is_packing = [&](const char* packing) { return colour.compare(0, slash, packing) == 0; };
  if (slash == std::string::npos || std::none_of(std::begin(kPackings), std::end(kPackings), is_packing)) return nullptr;
  for (const Coefficients& coefficients : kCoefficients)
    if (colour.compare(slash + 1, std::string::npos, coefficients.name) == 0) return &coefficients;
  return nullptr;
}

uint8_t cut(int32_t value) { return static_cast<uint8_t>(std::clamp(value >> 16, 0, 255)); }

[[noreturn]] void refuse(const TensorView& frame, const std::string& packing) {
  std::string found = frame.dtype + " (";
  for (const int64_t size : frame.shape) found += (found.back() == '(' ? "" : ", ") + std::to_string(size);
  throw FrameError(Code::kUsage, "the frame is no " + packing, "frame",
                   packing == "YUYV" ? "uint8 (h, w, 2), w even" : "uint8 (3h / 2, w, 1), h and w even", frame.data ? found + ")" : "no data",
                   "give the sensor's frame as it is: a buffer without padding, of even sides");
}

}  // namespace

bool is_yuv(const std::string& colour) { return find_coefficients(colour) != nullptr; }

Tensor decode_yuv(const TensorView& frame, const std::string& colour) {
  const Coefficients& by = *find_coefficients(colour);
  const std::string packing = colour.substr(0, colour.find('/'));
  const bool is_planar = packing != "YUYV";
  std::vector<int64_t> shape = frame.shape;
  if (is_planar && shape.size() == 2) shape.push_back(1);
  // Sides that place_picture takes: products of them stay numbers.
  constexpr int64_t kSideMax = 3 << 15;
  const bool is_whole = frame.data && frame.dtype == "uint8" && shape.size() == 3 && shape[2] == (is_planar ? 1 : 2) && shape[0] > 0 &&
                        shape[1] > 0 && shape[0] <= kSideMax && shape[1] <= kSideMax && shape[1] % 2 == 0 && (!is_planar || shape[0] % 3 == 0);
  if (!is_whole) refuse(frame, packing);
  const int64_t height = is_planar ? shape[0] * 2 / 3 : shape[0], width = shape[1], area = height * width;
  const auto* bytes = static_cast<const uint8_t*>(frame.data);
  Tensor picture{"uint8", {height, width, 3}, std::vector<uint8_t>(static_cast<size_t>(area * 3))};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const int64_t pixel = y * width + x, block = y / 2 * (width / 2) + x / 2;
      const uint8_t light = bytes[is_planar ? pixel : pixel * 2];
      uint8_t first = 0, second = 0;
      if (packing == "YUYV") {
        first = bytes[(pixel - x % 2) * 2 + 1];
        second = bytes[(pixel - x % 2) * 2 + 3];
      } else if (packing == "I420") {
        first = bytes[area + block];
        second = bytes[area + area / 4 + block];
      } else {
        first = bytes[area + block * 2];
        second = bytes[area + block * 2 + 1];
        if (packing == "NV21") std::swap(first, second);
      }
      const int32_t base = (light - by.floor) * by.light + (1 << 15), u = first - 128, v = second - 128;
      uint8_t* rgb = picture.bytes.data() + pixel * 3;
      rgb[0] = cut(base + by.red * v);
      rgb[1] = cut(base + by.green_of_u * u + by.green_of_v * v);
      rgb[2] = cut(base + by.blue * u);
    }
  return picture;
}

}  // namespace edge_app
