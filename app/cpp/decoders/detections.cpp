#include "decoders/detections.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace edge_app {
namespace {

// As toolchain/agent/measure/detection/choose.py: it bounds the time of suppression.
constexpr int64_t kCandidatesMax = 30000;

struct Candidate {
  std::array<float, 4> box;
  float score;
  int64_t label;
};

// As numpy's minimum, maximum and clip: a NaN stays one.
float take_smaller(float first, float second) { return std::isnan(first) || first < second ? first : second; }
float take_larger(float first, float second) { return std::isnan(first) || first > second ? first : second; }

float find_overlap(const Candidate& first, const Candidate& second) {
  const auto area = [](const std::array<float, 4>& box) { return (box[2] - box[0]) * (box[3] - box[1]); };
  std::array<float, 2> sides{};
  for (size_t axis = 0; axis < 2; ++axis)
    sides[axis] = take_larger(take_smaller(first.box[axis + 2], second.box[axis + 2]) - take_larger(first.box[axis], second.box[axis]), 0);
  const float shared = sides[0] * sides[1];
  return shared / (area(first.box) + area(second.box) - shared);
}

std::vector<Candidate> list_candidates(const Picture& picture, int64_t classes, const Choice& choice) {
  std::vector<Candidate> found;
  const size_t rows = picture.boxes.size() / 4;
  for (size_t row = 0; row < rows; ++row) {
    const float* scores = picture.scores.data() + row * static_cast<size_t>(classes);
    int64_t best = -1;
    for (int64_t label = 0; label < classes; ++label)
      if (scores[label] > choice.threshold && (best < 0 || scores[label] > scores[best])) best = label;
    for (int64_t label = 0; label < classes; ++label) {
      if (!(scores[label] > choice.threshold) || (choice.is_best_class_alone && label != best)) continue;
      Candidate candidate{{}, scores[label], label};
      std::copy_n(picture.boxes.begin() + static_cast<ptrdiff_t>(row * 4), 4, candidate.box.begin());
      found.push_back(candidate);
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Candidate& one, const Candidate& other) { return one.score > other.score; });
  if (static_cast<int64_t>(found.size()) > choice.candidates) found.resize(static_cast<size_t>(choice.candidates));
  for (Candidate& candidate : found) clip_box(candidate.box.data(), choice.clip);
  return found;
}

}  // namespace

Choice::Choice(DecoderOptions& options)
    : threshold(static_cast<float>(options.read_number("threshold", 0.05))),
      iou_max(static_cast<float>(options.read_number("iou_max", 0.5))),
      candidates(options.read_integer("candidates", 1000)),
      detections(options.read_integer("detections", 100)),
      is_best_class_alone(options.read_bool("best_class", false)),
      clip(read_clip(options)) {
  options.require(candidates >= 1 && candidates <= kCandidatesMax && detections >= 1, "candidates from 1 to 30000, detections of 1 or more");
  options.require(iou_max >= 0 && iou_max <= 1, "iou_max from 0 to 1");
}

std::vector<int64_t> read_clip(DecoderOptions& options) {
  std::vector<int64_t> clip = options.read_integers("clip");
  options.require(clip.empty() || (clip.size() == 2 && clip[0] > 0 && clip[1] > 0), "clip = [height, width]");
  return clip;
}

void clip_box(float* box, const std::vector<int64_t>& clip) {
  for (size_t side = 0; side < 4 && !clip.empty(); ++side)
    box[side] = take_smaller(take_larger(box[side], 0), static_cast<float>(clip[side % 2 ? 0 : 1]));
}

void Chosen::add(const float* box, float score, int64_t label) {
  boxes_.insert(boxes_.end(), box, box + 4);
  scores_.push_back(score);
  labels_.push_back(label);
}

void Chosen::end_picture() { offsets_.push_back(static_cast<int64_t>(labels_.size())); }

Answers Chosen::make_answers() const {
  const auto count = static_cast<int64_t>(labels_.size());
  return {{"boxes", make_answer(boxes_, {count, 4}, offsets_)},
          {"scores", make_answer(scores_, {count}, offsets_)},
          {"classes", make_answer(labels_, {count}, offsets_)}};
}

void make_corners(float* box, const std::string& form) {
  if (form == "yxyx") {
    std::swap(box[0], box[1]);
    std::swap(box[2], box[3]);
  }
  for (size_t axis = 0; axis < 2 && (form == "xywh" || form == "cxcywh"); ++axis) {
    const float size = box[axis + 2];
    if (form == "cxcywh") box[axis] = box[axis] - size / 2;
    box[axis + 2] = box[axis] + size;
  }
}

Answers choose_detections(const std::vector<Picture>& pictures, int64_t classes, const Choice& choice) {
  Chosen chosen;
  for (const Picture& picture : pictures) {
    std::vector<Candidate> stays;
    for (const Candidate& candidate : list_candidates(picture, classes, choice)) {
      const bool is_covered = std::any_of(stays.begin(), stays.end(), [&](const Candidate& better) {
        return better.label == candidate.label && find_overlap(better, candidate) > choice.iou_max;
      });
      if (!is_covered) stays.push_back(candidate);
      if (static_cast<int64_t>(stays.size()) == choice.detections) break;
    }
    for (const Candidate& candidate : stays) chosen.add(candidate.box.data(), candidate.score, candidate.label);
    chosen.end_picture();
  }
  return chosen.make_answers();
}

}  // namespace edge_app
