#include "edge_app.h"
#include "follow.h"
#include "opened.h"
#include "picture/prepare.h"

namespace edge_app {

class Model::Impl : public Follower {
 public:
  using Follower::Follower;
};

Model::Model(const std::string& root, Options options) : impl_(std::make_unique<Impl>(root, options)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

Outputs Model::operator()(const Inputs& inputs) const { return impl_->opened()->run(inputs); }
Prepared Model::prepare(const TensorView& picture) const { return prepare_picture(impl_->opened()->manifest().picture, picture); }

Sight Model::see(const TensorView& picture) const {
  // By one release from beginning to end.
  const std::shared_ptr<const Opened> opened = impl_->opened();
  const Prepared prepared = prepare_picture(opened->manifest().picture, picture);
  return {opened->run({{prepared.name, {prepared.tensor.dtype, prepared.tensor.shape, prepared.tensor.bytes.data()}}}), prepared.at};
}

Answers Model::answer(const Inputs& inputs) const {
  const std::shared_ptr<const Opened> opened = impl_->opened();
  return opened->decode(opened->run(inputs), inputs);
}

Found Model::find(const TensorView& picture) const {
  const std::shared_ptr<const Opened> opened = impl_->opened();
  const Prepared prepared = prepare_picture(opened->manifest().picture, picture);
  const Inputs inputs = {{prepared.name, {prepared.tensor.dtype, prepared.tensor.shape, prepared.tensor.bytes.data()}}};
  Found found{opened->decode(opened->run(inputs), inputs), prepared.at};
  const auto boxes = found.answers.find("boxes");
  if (boxes != found.answers.end()) restore_boxes(boxes->second.values, prepared.at);
  return found;
}

static Inputs view_all(const Outputs& tensors) {
  Inputs inputs;
  for (const auto& [name, tensor] : tensors) inputs[name] = {tensor.dtype, tensor.shape, tensor.bytes.data()};
  return inputs;
}

Outputs Model::tokenize(const std::string& text) const { return impl_->opened()->tokenize(text); }

Outputs Model::read(const std::string& text) const {
  const std::shared_ptr<const Opened> opened = impl_->opened();
  const Outputs tokens = opened->tokenize(text);
  return opened->run(view_all(tokens));
}

Answers Model::answer(const std::string& text) const {
  const std::shared_ptr<const Opened> opened = impl_->opened();
  const Outputs tokens = opened->tokenize(text);
  const Inputs inputs = view_all(tokens);
  return opened->decode(opened->run(inputs), inputs);
}

std::vector<std::string> Model::classes() const { return impl_->opened()->manifest().classes; }
Release Model::release() const { return impl_->opened()->release(); }
std::vector<TensorSpec> Model::inputs() const { return impl_->opened()->manifest().inputs; }
std::vector<TensorSpec> Model::outputs() const { return impl_->opened()->manifest().outputs; }
int Model::threads() const { return impl_->opened()->manifest().threads; }
std::vector<std::string> Model::reasons() const { return impl_->reasons(); }
std::optional<Error> Model::trouble() const { return impl_->trouble(); }
bool Model::is_proven() const { return reasons().empty() && !trouble(); }
bool Model::refresh() { return impl_->refresh(); }

}  // namespace edge_app
