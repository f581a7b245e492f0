// ctc_greedy, token_argmax: the best letter or class of each step.
#include <set>

#include "decoders/arrays.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

constexpr const char* kBroken = "\xEF\xBF\xBD";  // U+FFFD, which no text has
constexpr int64_t kNoTag = -100;

// The letters of a text in UTF-8, which JSON's reader has checked.
std::vector<std::string> split_letters(const std::string& text) {
  std::vector<std::string> letters;
  for (const char byte : text) {
    if ((static_cast<unsigned char>(byte) & 0xC0) != 0x80) letters.emplace_back();
    letters.back() += byte;
  }
  return letters;
}

class CtcGreedy : public Decoder {
 public:
  explicit CtcGreedy(DecoderOptions& options) : output_(options.read_name("output")), is_steps_first_(options.read_bool("steps_first", false)) {
    letters_ = split_letters(options.read_text("alphabet", ""));
    const int64_t blank = options.read_integer("blank", 0);
    const std::set<std::string> once(letters_.begin(), letters_.end());
    options.require(!letters_.empty() && once.size() == letters_.size(), "an alphabet with each letter once");
    options.require(blank >= 0 && blank <= static_cast<int64_t>(letters_.size()), "a blank that is a class");
    letters_.insert(letters_.begin() + blank, "");
  }

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs&,
                 const std::vector<std::string>&) const override {
    const auto classes = static_cast<int64_t>(letters_.size());
    const Floats scores = read_output("ctc_greedy", outputs, order, output_, {-1, -1, classes});
    const int64_t samples = scores.size(is_steps_first_ ? 1 : 0), steps = scores.size(is_steps_first_ ? 0 : 1);
    std::vector<uint8_t> text;
    std::vector<int64_t> offsets{0};
    for (int64_t sample = 0; sample < samples; ++sample) {
      for (int64_t step = 0, last = -2; step < steps; ++step) {
        const int64_t row = is_steps_first_ ? step * samples + sample : sample * steps + step;
        const int64_t found = choose_largest(scores.at(row * classes), classes);
        if (found != last) {
          const std::string letter = found < 0 ? kBroken : letters_[static_cast<size_t>(found)];
          text.insert(text.end(), letter.begin(), letter.end());
        }
        last = found;
      }
      offsets.push_back(static_cast<int64_t>(text.size()));
    }
    return {{"text", make_answer(text, {static_cast<int64_t>(text.size())}, offsets)}};
  }

 private:
  std::optional<std::string> output_;
  bool is_steps_first_;
  std::vector<std::string> letters_;
};

class TokenArgmax : public Decoder {
 public:
  explicit TokenArgmax(DecoderOptions& options) : output_(options.read_name("output")), mask_(options.read_name("mask")) {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs& inputs,
                 const std::vector<std::string>&) const override {
    const Floats scores = read_output("token_argmax", outputs, order, output_, {-1, -1, -1});
    const int64_t samples = scores.size(0), tokens = scores.size(1), classes = scores.size(2);
    if (classes < 1) refuse_part("token_argmax", "the output", "one class or more", describe("numbers", scores.shape));
    const auto mask = mask_ ? inputs.find(*mask_) : inputs.end();
    if (mask_ && (mask == inputs.end() || mask->second.shape != std::vector<int64_t>{samples, tokens} || mask->second.dtype.rfind("float", 0) == 0))
      refuse_part("token_argmax", "the input " + *mask_, describe("whole numbers", {samples, tokens}),
                  mask == inputs.end() ? "none" : describe(mask->second.dtype, mask->second.shape));
    std::vector<int64_t> tags;
    for (int64_t index = 0; index < samples * tokens; ++index) {
      const bool is_token = !mask_ || read_number(mask->second.dtype, mask->second.data, index) != 0;
      tags.push_back(is_token ? choose_largest(scores.at(index * classes), classes) : kNoTag);
    }
    return {{"tags", make_answer(tags, {samples, tokens})}};
  }

 private:
  std::optional<std::string> output_, mask_;
};

}  // namespace

std::unique_ptr<Decoder> make_ctc_greedy(DecoderOptions& options) { return std::make_unique<CtcGreedy>(options); }
std::unique_ptr<Decoder> make_token_argmax(DecoderOptions& options) { return std::make_unique<TokenArgmax>(options); }

}  // namespace edge_app
