// The detections of pictures: boxes whose score is high enough, of which none lies on a better one of its class.
#pragma once

#include "decoders/arrays.h"
#include "decoders/options.h"

namespace edge_app {

// Which boxes are detections; decoders of detectors have these options besides their own.
struct Choice {
  explicit Choice(DecoderOptions& options);

  float threshold, iou_max;
  int64_t candidates, detections;
  bool is_best_class_alone;
  std::vector<int64_t> clip;  // height, width; none ends boxes nowhere
};

// Of each picture, corners (rows, 4) and scores (rows, classes).
struct Picture {
  std::vector<float> boxes, scores;
};

// The option clip: height and width that boxes end at, or nothing.
std::vector<int64_t> read_clip(DecoderOptions& options);
void clip_box(float* box, const std::vector<int64_t>& clip);

// Boxes, scores and classes as they are found, picture after picture.
class Chosen {
 public:
  void add(const float* box, float score, int64_t label);
  void end_picture();
  Answers make_answers() const;

 private:
  std::vector<float> boxes_, scores_;
  std::vector<int64_t> labels_, offsets_{0};
};

// Boxes as corners: left, top, right, bottom, from xyxy, yxyx, xywh or cxcywh; in place.
void make_corners(float* box, const std::string& form);

// Returns boxes, scores and classes, rows of all pictures and where each begins. A NaN score is none.
Answers choose_detections(const std::vector<Picture>& pictures, int64_t classes, const Choice& choice);

}  // namespace edge_app
