// reconstruction_error: how far what a model gives back is from what it was given, a double for each sample.
#include <cmath>

#include "decoders/arrays.h"
#include "decoders/members.h"

namespace edge_app {
namespace {

class ReconstructionError : public Decoder {
 public:
  explicit ReconstructionError(DecoderOptions& options)
      : output_(options.read_name("output")),
        input_(options.read_name("input")),
        is_squared_(options.read_word("error", "squared", {"squared", "absolute"}) == "squared") {}

  Answers decode(const Outputs& outputs, const std::vector<std::string>& order, const Inputs& inputs,
                 const std::vector<std::string>& fed) const override {
    const Tensor& found = take_output("reconstruction_error", outputs, order, output_);
    const auto given = inputs.find(input_ ? *input_ : fed.empty() ? "" : fed.front());
    const bool fits = given != inputs.end() && given->second.shape == found.shape && found.shape.size() > 1 &&
                      found.dtype != "bool" && given->second.dtype != "bool" && (found.shape[0] == 0 || !found.bytes.empty());
    if (!fits)
      refuse_part("reconstruction_error", "the output", given == inputs.end() ? "an input to compare with" : describe(given->second.dtype, given->second.shape),
                  describe(found.dtype, found.shape));
    const int64_t samples = found.shape[0], count = samples ? count_numbers(found.shape) / samples : 1;
    std::vector<double> errors;
    for (int64_t sample = 0; sample < samples; ++sample) {
      double sum = 0;
      for (int64_t index = sample * count; index < (sample + 1) * count; ++index) {
        const double difference =
            read_number(found.dtype, found.bytes.data(), index) - read_number(given->second.dtype, given->second.data, index);
        sum += is_squared_ ? difference * difference : std::abs(difference);
      }
      errors.push_back(sum / static_cast<double>(count));
    }
    return {{"error", make_answer(errors, {samples})}};
  }

 private:
  std::optional<std::string> output_, input_;
  bool is_squared_;
};

}  // namespace

std::unique_ptr<Decoder> make_reconstruction_error(DecoderOptions& options) { return std::make_unique<ReconstructionError>(options); }

}  // namespace edge_app
