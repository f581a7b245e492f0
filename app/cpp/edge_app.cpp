#include "edge_app.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <onnxruntime_c_api.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "board/active.h"
#include "board/agent.h"
#include "board/descriptor.h"
#include "board/document.h"
#include "board/file.h"
#include "board/hash.h"
#include "board/manifest.h"
#include "board/ownership.h"
#include "board/verdict.h"
#include "decoders/decoder.h"
#include "picture/prepare.h"
#include "tensor.h"

namespace edge_app {
namespace {

using nlohmann::json;

// Of ONNX Runtime's C API, which only grows at its end: the oldest that the targets take (targets/*.toml: 1.23 or newer).
constexpr uint32_t kApiVersion = 23;
constexpr size_t kManifestBytesMax = 512 * 1024;
constexpr size_t kVerdictBytesMax = 16 << 20;
constexpr int kOpenAttempts = 5;
constexpr auto kRest = std::chrono::milliseconds(100);
// A release that could not be opened is tried again when something changes, and after so many looks.
constexpr int kLooksUntilRetry = 30;
// A date that passes, a key that is revoked, a runtime that is upgraded change nothing of it: every ten minutes, once a second.
constexpr int kLooksUntilProof = 600;

const OrtApi& find_api() {
  static const OrtApi* const api = OrtGetApiBase()->GetApi(kApiVersion);
  if (!api)
    throw Error(Code::kMissing, "this ONNX Runtime is too old for the application", "libonnxruntime",
                "one with API " + std::to_string(kApiVersion), OrtGetApiBase()->GetVersionString(),
                "install a newer one, or build the application with its headers");
  return *api;
}

void check(OrtStatus* status, Code code, const std::string& happened, const std::string& where) {
  if (!status) return;
  const std::string found = find_api().GetErrorMessage(status);
  find_api().ReleaseStatus(status);
  throw Error(code, happened, where, "", found, "deploy the model again, for the runtime that is there");
}

const std::map<std::string, std::pair<ONNXTensorElementDataType, size_t>>& list_dtypes() {
  static const std::map<std::string, std::pair<ONNXTensorElementDataType, size_t>> dtypes = {
      {"float16", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2}}, {"float32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4}},
      {"float64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8}},  {"bool", {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1}},
      {"int8", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1}},       {"int16", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, 2}},
      {"int32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4}},     {"int64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8}},
      {"uint8", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1}},     {"uint16", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, 2}},
      {"uint32", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, 4}},   {"uint64", {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, 8}},
  };
  return dtypes;
}

// The bytes of the library that this process has loaded.
std::string hash_loaded_library() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&OrtGetApiBase), &info) || !info.dli_fname) return "";
  Descriptor file(open(info.dli_fname, O_RDONLY | O_CLOEXEC));
  std::vector<char> block(1 << 20);
  return hash_blocks([&] {
    const ssize_t count = file.is_open() ? read(file.get(), block.data(), block.size()) : 0;
    return std::make_pair(static_cast<const char*>(block.data()), static_cast<size_t>(std::max<ssize_t>(count, 0)));
  });
}

template <typename Kind>
using Owned = std::unique_ptr<Kind, void (*)(Kind*)>;

}  // namespace

// A payload that answers; it goes, session and hold, when the last one who runs it is done.
class Opened {
 public:
  Opened(Release release, Manifest manifest, Descriptor hold, const std::string& payload, std::vector<int64_t> file)
      : release_(std::move(release)), manifest_(std::move(manifest)), hold_(std::move(hold)), file_(std::move(file)) {
    const OrtApi& api = find_api();
    const std::string failed = "ONNX Runtime cannot open the payload";
    OrtEnv* env = nullptr;
    check(api.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "edge_app", &env), Code::kUnexpected, failed, release_.path);
    env_.reset(env);
    OrtSessionOptions* options = nullptr;
    check(api.CreateSessionOptions(&options), Code::kUnexpected, failed, release_.path);
    Owned<OrtSessionOptions> owned(options, api.ReleaseSessionOptions);
    // As toolchain/agent/measure/runtimes/onnxruntime.py opens what it measures.
    check(api.SetIntraOpNumThreads(options, manifest_.threads), Code::kUnexpected, failed, "threads");
    check(api.SetInterOpNumThreads(options, 1), Code::kUnexpected, failed, "threads");
    check(api.SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_FATAL), Code::kUnexpected, failed, "log");
    check(api.AddSessionConfigEntry(options, "session.force_spinning_stop", "1"), Code::kUnexpected, failed, "threads");
    OrtSession* session = nullptr;
    // From the bytes that were hashed: what lies at the path meanwhile does not matter.
    check(api.CreateSessionFromArray(env, payload.data(), payload.size(), options, &session), Code::kMalformed, failed,
          release_.path);
    session_.reset(session);
    OrtMemoryInfo* memory = nullptr;
    check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), Code::kUnexpected, failed, "memory");
    memory_.reset(memory);
    read_decoder();
  }

  const Release& release() const { return release_; }
  const Manifest& manifest() const { return manifest_; }

  // What became of the payload's file since it was opened, or nothing: what runs goes on without it.
  std::optional<Error> find_change(const std::string& root) const {
    const std::string path = root + "/releases/" + release_.bundle_id + "/" + release_.path;
    struct stat status {};
    std::string found;
    if (lstat(path.c_str(), &status) != 0) found = describe_errno();
    else if (identify(status) != file_) found = "another file, or other bytes";
    if (found.empty()) return std::nullopt;
    return Error(Code::kContent, "the payload that answers is not on the board any more", path, "the file that was opened", found,
                 "deploy the bundle again; what is open answers on");
  }

  bool is_of(const Release& release, const std::vector<int64_t>& file) const {
    return release.bundle_id == release_.bundle_id && release.path == release_.path && release.sha256 == release_.sha256 &&
           release.proven_at == release_.proven_at && file == file_;
  }

  void warm_up() const {
    Inputs inputs;
    std::vector<std::vector<uint8_t>> zeros;
    for (const TensorSpec& spec : manifest_.inputs) {
      std::vector<int64_t> shape = spec.shape;
      if (!manifest_.is_stacked && !shape.empty() && shape[0] < 0) shape[0] = 1;
      const auto kind = list_dtypes().find(spec.dtype);
      if (kind == list_dtypes().end() || std::find(shape.begin(), shape.end(), -1) != shape.end()) return;
      zeros.emplace_back(static_cast<size_t>(count_numbers(shape)) * kind->second.second + 1);
      inputs[spec.name] = {spec.dtype, shape, zeros.back().data()};
    }
    try {
      run(inputs);
    } catch (const Error&) {  // zeros may be no input that a payload takes; frames are another matter
    }
  }

  // What outputs mean; throws Error (2) where no decoder of this application says it.
  Answers decode(const Outputs& outputs, const Inputs& inputs) const {
    if (manifest_.decoder.empty())
      throw Error(Code::kUsage, "the outputs of this model are its answers: it has no decoder", "metric.decoder", "one", "none",
                  "read the outputs as they are, with model(inputs)");
    if (!decoder_) throw *undecoded_;
    std::vector<std::string> order, fed;
    for (const TensorSpec& spec : manifest_.outputs) order.push_back(spec.name);
    for (const TensorSpec& spec : manifest_.inputs) fed.push_back(spec.name);
    return decoder_->decode(outputs, order, inputs, fed);
  }

  Outputs run(const Inputs& inputs) const {
    const OrtApi& api = find_api();
    check_frame(inputs);
    std::vector<const char*> in_names, out_names;
    std::vector<Owned<OrtValue>> owned;
    std::vector<const OrtValue*> fed;
    for (const TensorSpec& spec : manifest_.inputs) {
      const TensorView& array = inputs.at(spec.name);
      const auto& [kind, size] = list_dtypes().at(spec.dtype);
      OrtValue* value = nullptr;
      check(api.CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<void*>(array.data),
                                               static_cast<size_t>(count_numbers(array.shape)) * size, array.shape.data(),
                                               array.shape.size(), kind, &value),
            Code::kMalformed, "the payload cannot be fed", spec.name);
      owned.emplace_back(value, api.ReleaseValue);
      fed.push_back(value);
      in_names.push_back(spec.name.c_str());
    }
    for (const TensorSpec& spec : manifest_.outputs) out_names.push_back(spec.name.c_str());
    std::vector<OrtValue*> made(out_names.size(), nullptr);
    OrtStatus* status = api.Run(session_.get(), nullptr, in_names.data(), fed.data(), fed.size(), out_names.data(),
                                out_names.size(), made.data());
    std::vector<Owned<OrtValue>> results;
    for (OrtValue* value : made) results.emplace_back(value, api.ReleaseValue);
    check(status, Code::kMalformed, "the payload fails to run", release_.path);
    Outputs outputs;
    for (size_t index = 0; index < results.size(); ++index)
      outputs[manifest_.outputs[index].name] = copy(results[index].get(), manifest_.outputs[index]);
    return outputs;
  }

 private:
  // One that is not known here is told to who asks for what the outputs mean: the outputs themselves are right all the same.
  void read_decoder() {
    if (manifest_.decoder.empty()) return;
    try {
      decoder_ = make_decoder(manifest_.decoder);
    } catch (const Error& error) {
      undecoded_ = error;
    }
  }

  void check_frame(const Inputs& inputs) const {
    std::optional<int64_t> batch;
    for (const TensorSpec& spec : manifest_.inputs) {
      const auto found = inputs.find(spec.name);
      if (found == inputs.end()) refuse_frame("a frame lacks an input", spec.name, "an array", "none");
      const TensorView& array = found->second;
      if (array.dtype != spec.dtype)
        refuse_frame("a frame has another type than the payload takes", spec.name, spec.dtype, array.dtype);
      bool fits = array.shape.size() == spec.shape.size() && array.data && count_numbers(array.shape) > 0;
      for (size_t axis = 0; fits && axis < spec.shape.size(); ++axis)
        fits = spec.shape[axis] < 0 || spec.shape[axis] == array.shape[axis];
      if (!fits)
        refuse_frame("a frame has another size than the payload takes", spec.name, write_shape(spec.shape),
                     array.data ? write_shape(array.shape) : "no data");
      if (!manifest_.is_stacked && !array.shape.empty() && batch.value_or(array.shape[0]) != array.shape[0])
        refuse_frame("a frame is no batch", spec.name, std::to_string(*batch) + " samples", write_shape(array.shape));
      if (!array.shape.empty()) batch = array.shape[0];
    }
    if (inputs.size() != manifest_.inputs.size())
      refuse_frame("a frame has other inputs than the payload", "inputs", std::to_string(manifest_.inputs.size()),
                   std::to_string(inputs.size()));
  }

  static Tensor copy(OrtValue* value, const TensorSpec& spec) {
    const OrtApi& api = find_api();
    const std::string failed = "an output cannot be read";
    OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api.GetTensorTypeAndShape(value, &info), Code::kMalformed, failed, spec.name);
    Owned<OrtTensorTypeAndShapeInfo> owned(info, api.ReleaseTensorTypeAndShapeInfo);
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    check(api.GetTensorElementType(info, &type), Code::kMalformed, failed, spec.name);
    check(api.GetDimensionsCount(info, &rank), Code::kMalformed, failed, spec.name);
    Tensor tensor{spec.dtype, std::vector<int64_t>(rank), {}};
    check(api.GetDimensions(info, tensor.shape.data(), rank), Code::kMalformed, failed, spec.name);
    const auto kind = list_dtypes().find(spec.dtype);
    if (kind == list_dtypes().end() || kind->second.first != type)
      throw Error(Code::kMalformed, "an output is not what the manifest says", spec.name, spec.dtype,
                  "ONNX type " + std::to_string(static_cast<int>(type)), "deploy the model again");
    void* data = nullptr;
    check(api.GetTensorMutableData(value, &data), Code::kMalformed, failed, spec.name);
    const auto* bytes = static_cast<const uint8_t*>(data);
    tensor.bytes.assign(bytes, bytes + static_cast<size_t>(count_numbers(tensor.shape)) * kind->second.second);
    return tensor;
  }

  Release release_;
  Manifest manifest_;
  Descriptor hold_;
  std::vector<int64_t> file_;
  std::unique_ptr<Decoder> decoder_;
  std::optional<Error> undecoded_;
  // In this order: the session goes before the environment.
  Owned<OrtEnv> env_{nullptr, find_api().ReleaseEnv};
  Owned<OrtMemoryInfo> memory_{nullptr, find_api().ReleaseMemoryInfo};
  Owned<OrtSession> session_{nullptr, find_api().ReleaseSession};
};

namespace {

struct Active {
  std::shared_ptr<const Opened> opened;
  std::vector<std::string> reasons;
  Seen seen;
};

void refuse_unproven(const std::vector<std::string>& reasons, const std::string& bundle_id, const std::string& fix) {
  std::string found;
  for (const std::string& reason : reasons) found += (found.empty() ? "" : "; ") + reason;
  throw ExpiredError(Code::kExpired, "the active release is not proven here and now", bundle_id, "a verdict that holds",
                     found, fix);
}

Active open_once(const std::string& root, const Options& options, const std::shared_ptr<const Opened>& running) {
  struct stat status {};
  if (stat(root.c_str(), &status) != 0) resolve(root);
  const std::set<uid_t> owners = {geteuid(), 0, status.st_uid};
  check_folders(root, owners);
  auto [bundle_id, hold] = hold_active(root);
  const std::string release_path = root + "/releases/" + bundle_id;
  if (fstat(hold.get(), &status) != 0 || !may_change(status, owners)) refuse_owner(Code::kContent, release_path, status);
  const std::string manifest_path = release_path + "/manifest.json";
  const File file = read_file(hold.get(), "manifest.json", kManifestBytesMax, owners, Code::kContent, manifest_path);
  if (hash(file.bytes) != bundle_id)
    throw Error(Code::kContent, "the release's manifest is not the one that it was verified with", manifest_path, bundle_id,
                hash(file.bytes), "deploy the bundle again");
  Manifest manifest =
      parse(file.bytes, manifest_path, [&](const json& document) { return read_manifest(document, manifest_path); });
  const std::string verdict_path = root + "/verdicts/" + bundle_id + ".json";
  if (access(verdict_path.c_str(), F_OK) != 0)
    refuse_unproven({"no verdict is recorded"}, bundle_id,
                    "deploy the bundle again: without a verdict no payload is the proven one");
  Descriptor verdicts(open((root + "/verdicts").c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fstat(verdicts.get(), &status) != 0 || !may_change(status, owners))
    refuse_owner(Code::kStorage, root + "/verdicts", status);
  const File proof =
      read_file(verdicts.get(), bundle_id + ".json", kVerdictBytesMax, owners, Code::kMalformed, verdict_path);
  const std::string& id = bundle_id;
  const Verdict verdict =
      parse(proof.bytes, verdict_path, [&](const json& document) { return read_verdict(document, id, verdict_path); });
  check_proven(manifest, verdict, verdict_path);
  if (verdict.has_engine || manifest.runtime != "onnxruntime")
    throw Error(Code::kIncompatible, "this application opens payloads of ONNX Runtime alone", manifest_path, "onnxruntime",
                verdict.has_engine ? "an engine of " + manifest.runtime : manifest.runtime,
                "open engine.path of the verdict with the runtime's own calls (docs/boards.md)");
  const std::string payload_path = release_path + "/" + verdict.release.path;
  const File payload = read_file(hold.get(), verdict.release.path, static_cast<size_t>(verdict.size_bytes), owners,
                                 Code::kContent, payload_path);
  if (hash(payload.bytes) != verdict.release.sha256)
    throw Error(Code::kContent, "the payload is not the one that was proven", payload_path, "sha256 " + verdict.release.sha256,
                "sha256 " + hash(payload.bytes), "deploy the bundle again");
  const AgentAnswer answer = ask_agent(root, verdict.python, owners, options.agent_limit);
  if (answer.code != 0 && answer.code != static_cast<int>(Code::kExpired))
    throw Error(static_cast<Code>(answer.code), "the board's agent says that the release is not what was proven", root,
                "a release that was proven", answer.line.empty() ? "no word" : answer.line, "deploy again");
  std::vector<std::string> reasons;
  if (answer.code != 0) reasons.push_back(answer.line.empty() ? "expired" : answer.line);
  static const std::string library = hash_loaded_library();
  if (std::find(verdict.libraries.begin(), verdict.libraries.end(), library) == verdict.libraries.end())
    reasons.push_back("this process has loaded a library that was not measured: ONNX Runtime " +
                      std::string(OrtGetApiBase()->GetVersionString()) + ", sha256 " + library);
  if (!reasons.empty() && !options.warns_of_unproven)
    refuse_unproven(reasons, bundle_id, "prove it again: `toolchain verify --device NAME`; or warns_of_unproven opens it");
  if (running && running->is_of(verdict.release, identify(payload.status))) return {running, reasons, {}};
  auto opened = std::make_shared<const Opened>(verdict.release, std::move(manifest), std::move(hold), payload.bytes,
                                               identify(payload.status));
  if (options.warms_up) opened->warm_up();
  return {opened, reasons, {}};
}

Active open_active(const std::string& root, const Options& options, const std::shared_ptr<const Opened>& running) {
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    const Seen seen = look(root);
    try {
      Active found = open_once(root, options, running);
      found.seen = seen;
      // What became active, or was proven anew, while this one was opened is opened in its place.
      if (look(root) == seen) return found;
    } catch (const Error&) {
      // A deploy writes link, verdict and state one after the other: between two of them they contradict each other.
      std::this_thread::sleep_for(kRest);
      if (look(root) == seen) throw;
    }
  }
  throw Error(Code::kBusy, "the active release changes faster than it can be opened", root + "/current", "a board at rest",
              std::to_string(kOpenAttempts) + " changes", "open it when the deploys are over");
}

}  // namespace

class Model::Impl {
 public:
  Impl(const std::string& root, Options options) : root_(resolve(root)), options_(options) {
    take(open_active(root_, options_, nullptr));
    if (options_.check_interval.count() > 0) watcher_ = std::thread([this] { watch(); });
  }

  ~Impl() {
    {
      std::lock_guard<std::mutex> lock(waiting_);
      is_ended_ = true;
    }
    wake_.notify_all();
    if (watcher_.joinable()) watcher_.join();
  }

  std::shared_ptr<const Opened> opened() const { return std::atomic_load(&opened_); }

  bool refresh() {
    std::lock_guard<std::mutex> lock(opening_);
    const auto before = opened();
    if (!(look(root_) == seen_)) take(open_active(root_, options_, before));
    note_change();
    return opened() != before;
  }

  std::vector<std::string> reasons() const {
    std::lock_guard<std::mutex> lock(noting_);
    return reasons_;
  }

  std::optional<Error> trouble() const {
    std::lock_guard<std::mutex> lock(noting_);
    return trouble_ ? trouble_ : change_;
  }

 private:
  void take(Active found) {
    std::atomic_store(&opened_, std::move(found.opened));
    seen_ = std::move(found.seen);
    failed_.reset();
    std::lock_guard<std::mutex> lock(noting_);
    reasons_ = std::move(found.reasons);
    trouble_.reset();
    change_.reset();
  }

  // Under `opening_`: what answers is not exchanged meanwhile.
  void note_change() {
    std::optional<Error> change = opened()->find_change(root_);
    std::lock_guard<std::mutex> lock(noting_);
    change_ = std::move(change);
  }

  void note(std::optional<Error> trouble) {
    std::lock_guard<std::mutex> lock(noting_);
    trouble_ = std::move(trouble);
  }

  void watch() {
    std::unique_lock<std::mutex> lock(waiting_);
    while (!wake_.wait_for(lock, options_.check_interval, [this] { return is_ended_; })) {
      lock.unlock();
      look_once();
      lock.lock();
    }
  }

  void look_once() {
    std::lock_guard<std::mutex> lock(opening_);
    look_for_another();
    note_change();
  }

  void look_for_another() {
    const Seen now = look(root_);
    const bool is_seen = now == seen_, is_failed = failed_ && *failed_ == now;
    if (is_seen && failed_ && !is_failed) {  // what failed is not active any more
      failed_.reset();
      note(std::nullopt);
    }
    looks_ = is_seen || is_failed ? looks_ + 1 : 0;
    if (looks_ % (is_seen ? kLooksUntilProof : kLooksUntilRetry)) return;
    try {
      take(open_active(root_, options_, opened()));
    } catch (const Error& error) {
      failed_ = now;
      note(error);
    } catch (const std::exception& error) {
      failed_ = now;
      note(Error(Code::kUnexpected, "the active release cannot be opened", root_, "", error.what(),
                 "look at the memory and the disk"));
    }
  }

  const std::string root_;
  const Options options_;
  std::shared_ptr<const Opened> opened_;
  Seen seen_;
  std::optional<Seen> failed_;
  int looks_ = 0;
  std::vector<std::string> reasons_;
  std::optional<Error> trouble_, change_;
  mutable std::mutex noting_;
  std::mutex opening_, waiting_;
  std::condition_variable wake_;
  bool is_ended_ = false;
  std::thread watcher_;
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
