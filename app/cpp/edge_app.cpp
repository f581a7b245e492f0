#include "edge_app.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <onnxruntime_c_api.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "decoders/decoder.h"
#include "yuv.h"

namespace edge_app {
namespace {

using nlohmann::json;

// Of toolchain/agent: manifest.py, install/verdict.py. tests/app/test_cpp.py holds them against each other.
constexpr int kManifestSchema = 5;
constexpr int kVerdictSchema = 1;
// Of ONNX Runtime's C API, which only grows at its end: the oldest that the targets take (targets/*.toml: 1.23 or newer).
constexpr uint32_t kApiVersion = 23;
constexpr size_t kManifestBytesMax = 512 * 1024;
constexpr size_t kVerdictBytesMax = 16 << 20;
// What the agent says is one line.
constexpr size_t kAnswerBytesMax = 64 * 1024;
// A deploy that is at it is waited for: its renames take milliseconds.
constexpr int kHoldAttempts = 100;
constexpr int kOpenAttempts = 5;
constexpr auto kPause = std::chrono::milliseconds(20);
constexpr auto kRest = std::chrono::milliseconds(100);
// A release that could not be opened is tried again when something changes, and after so many looks.
constexpr int kLooksUntilRetry = 30;
// A date that passes, a key that is revoked, a runtime that is upgraded change nothing of it: every ten minutes, once a second.
constexpr int kLooksUntilProof = 600;

std::string write_error(Code code, const std::string& happened, const std::string& where, const std::string& expected,
                        const std::string& found, const std::string& fix) {
  std::string text = happened + " (exit " + std::to_string(static_cast<int>(code)) + ")\n  ";
  if (!where.empty()) text += where + ": ";
  if (!expected.empty()) text += "expected " + expected + ", ";
  return text + "found " + found + "\n  fix: " + fix;
}

// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

std::string describe_errno() { return std::strerror(errno); }

bool may_change(const struct stat& status, const std::set<uid_t>& owners) {
  // Stricter than the agent, which lets a group of one's own write: whose group that is costs a look at every account.
  return owners.count(status.st_uid) && !(status.st_mode & (S_IWOTH | S_IWGRP));
}

[[noreturn]] void refuse_owner(Code code, const std::string& path, const struct stat& status) {
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(status.st_mode & 07777));
  throw Error(code, "others can change what lies on the board", path, "nobody but the one who deploys, and root, may write",
              "user " + std::to_string(status.st_uid) + ", mode " + mode, "look at what it is, then: chmod go-w " + path);
}

// Of a folder and of all above it, as toolchain/agent/ownership.py: what others can change leads nowhere that is ours.
void check_folders(std::string path, const std::set<uid_t>& owners) {
  for (bool is_own = true;; is_own = false) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0)
      throw Error(Code::kUsage, "there is no such folder", path, "a board's ROOT", describe_errno(), "correct the path");
    const bool is_sticky = !is_own && (status.st_mode & S_ISVTX) && owners.count(status.st_uid);
    std::set<uid_t> trusted = owners;
    if (!is_own) trusted.insert(65534);  // how a container shows the owner of its / (user_namespaces(7))
    if (!is_sticky && !may_change(status, trusted)) refuse_owner(Code::kStorage, path, status);
    if (path == "/") return;
    const size_t slash = path.rfind('/');
    path = slash == 0 ? "/" : path.substr(0, slash);
  }
}

std::string resolve(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  if (!real)
    throw Error(Code::kUsage, "there is no board", path, "a board's ROOT", describe_errno(),
                "deploy a bundle to this ROOT first, or correct the path");
  return real.get();
}

struct File {
  std::string bytes;
  struct stat status {};
};

// Reads a regular file below a folder that is open, following no link and waiting for no pipe.
File read_file(int folder, const std::string& path, size_t bytes_max, const std::set<uid_t>& owners, Code code,
               const std::string& where) {
  Descriptor parent;
  int at = folder;
  size_t begin = 0;
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', begin)) {
    Descriptor next(openat(at, path.substr(begin, slash - begin).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.is_open())
      throw Error(code, "a file of the board is gone", where, "a folder, and no link", describe_errno(), "deploy again");
    parent = std::move(next);
    at = parent.get();
    begin = slash + 1;
  }
  Descriptor file(openat(at, path.substr(begin).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  File found;
  if (!file.is_open() || fstat(file.get(), &found.status) != 0)
    throw Error(code, "a file of the board is gone", where, "a regular file, and no link", describe_errno(), "deploy again");
  if (!S_ISREG(found.status.st_mode))
    throw Error(code, "what lies on the board is no file of ours", where, "a regular file", "something else", "deploy again");
  if (!may_change(found.status, owners)) refuse_owner(code, where, found.status);
  if (static_cast<uint64_t>(found.status.st_size) > bytes_max)
    throw Error(code, "a file of the board is too large", where, "at most " + std::to_string(bytes_max) + " bytes",
                std::to_string(found.status.st_size) + " bytes", "deploy again");
  found.bytes.resize(static_cast<size_t>(found.status.st_size));
  for (size_t done = 0; done < found.bytes.size();) {
    const ssize_t count = read(file.get(), &found.bytes[done], found.bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      throw Error(code, "a file of the board cannot be read", where, std::to_string(found.bytes.size()) + " bytes",
                  count < 0 ? describe_errno() : std::to_string(done) + " bytes", "look at the disk, and deploy again");
    done += static_cast<size_t>(count);
  }
  return found;
}

// Hashes what comes block by block until there is none; an empty text where that is not possible.
template <typename Next>
std::string hash_blocks(Next next) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) return "";
  for (std::pair<const char*, size_t> block; (block = next()).second > 0;)
    if (EVP_DigestUpdate(context.get(), block.first, block.second) != 1) return "";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_DigestFinal_ex(context.get(), digest, &length) != 1) return "";
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int index = 0; index < length; ++index) text += {digits[digest[index] >> 4], digits[digest[index] & 15]};
  return text;
}

std::string hash(const std::string& bytes) {
  bool is_over = false;
  return hash_blocks([&] {
    return std::exchange(is_over, true) ? std::make_pair(bytes.data(), size_t{0}) : std::make_pair(bytes.data(), bytes.size());
  });
}

template <typename Read>
auto parse(const std::string& bytes, const std::string& where, Read read) {
  try {
    return read(json::parse(bytes));
  } catch (const json::exception& error) {
    throw Error(Code::kMalformed, "a file of the board cannot be read", where, "JSON as the toolchain writes it",
                error.what(), "deploy the bundle again");
  }
}

struct Entry {
  uint64_t size_bytes;
  std::string sha256;
};

// How a picture becomes an input (toolchain/agent/sensor.py).
struct PictureSpec {
  std::string input, type, layout, resize, colour;
  int64_t channels = 0, height = 0, width = 0;
  uint8_t fill = 0;
  double crop_share = 1;
};

struct Manifest {
  std::string model, target, runtime;
  int threads = 1;
  bool is_stacked = false;
  std::vector<TensorSpec> inputs, outputs;
  std::map<std::string, std::string> candidates;  // path by precision
  std::map<std::string, Entry> files;
  std::optional<PictureSpec> picture;
  std::vector<std::string> classes;
  std::string decoder;  // as JSON; empty where outputs are answers
};

std::vector<TensorSpec> read_specs(const json& array) {
  std::vector<TensorSpec> specs;
  for (const json& item : array) {
    TensorSpec spec{item.at("name"), item.at("dtype"), {}};
    for (const json& size : item.at("shape")) spec.shape.push_back(size.is_null() ? -1 : size.get<int64_t>());
    specs.push_back(std::move(spec));
  }
  return specs;
}

void check_schema(const json& document, int known, const std::string& where) {
  const int schema = document.at("schema");
  if (schema != known)
    throw Error(Code::kMalformed, "it was written by another version of the toolchain", where + ": schema",
                std::to_string(known), std::to_string(schema),
                "deploy the model again with the toolchain of this file, or build the application with its edge_app.cpp");
}

Manifest read_manifest(const json& document, const std::string& where) {
  check_schema(document, kManifestSchema, where);
  Manifest manifest;
  manifest.model = document.at("model");
  manifest.target = document.at("target");
  manifest.runtime = document.at("runtime");
  manifest.threads = document.at("threads");
  manifest.is_stacked = document.at("golden").at("stacked");
  manifest.inputs = read_specs(document.at("inputs"));
  manifest.outputs = read_specs(document.at("outputs"));
  for (const json& item : document.at("candidates")) manifest.candidates[item.at("precision")] = item.at("path");
  const json& sensor = document.at("input");
  if (!sensor.is_null() && !sensor.at("picture").is_null()) {
    const json& picture = sensor.at("picture");
    const std::string colour = picture.at("colour");
    if (colour != "RGB" && colour != "BGR" && colour != "grey" && !is_yuv(colour))
      throw Error(Code::kMalformed, "the sensor gives colours that are not known here", where + ": input.picture.colour",
                  "RGB, BGR, grey or a YUV", colour, "build the application with the edge_app.cpp of the toolchain that deployed");
    manifest.picture = {sensor.at("name"),          picture.at("type"),   picture.at("layout"), picture.at("resize"), colour,
                        colour == "grey" ? 1 : 3, picture.at("height"), picture.at("width"),  picture.at("fill"),
                        picture.at("crop_share")};
  }
  if (const json& decoder = document.at("metric").at("decoder"); !decoder.is_null()) manifest.decoder = decoder.dump();
  if (const json& classes = document.at("output").at("classes"); !classes.is_null()) manifest.classes = classes.get<std::vector<std::string>>();
  for (const json& item : document.at("files"))
    manifest.files[item.at("path")] = {item.at("size_bytes").get<uint64_t>(), item.at("sha256")};
  return manifest;
}

struct Verdict {
  Release release;
  uint64_t size_bytes = 0;
  std::string target, python;
  bool has_engine = false;
  std::vector<std::string> libraries;  // sha256 of the runtime's
};

Verdict read_verdict(const json& document, const std::string& bundle_id, const std::string& where) {
  check_schema(document, kVerdictSchema, where);
  const json& shipped = document.at("shipped");
  Verdict verdict;
  verdict.release = {document.at("bundle_id"), document.at("model"),    shipped.at("precision"),
                     shipped.at("path"),       shipped.at("sha256"), document.at("time")};
  verdict.size_bytes = shipped.at("size_bytes");
  verdict.target = document.at("target");
  verdict.python = document.at("python_path");
  verdict.has_engine = !document.at("engine").is_null();
  for (const auto& item : document.at("environment").at("libraries").items()) verdict.libraries.push_back(item.value());
  const int exit_code = document.at("exit_code");
  if (verdict.release.bundle_id != bundle_id || exit_code != 0)
    throw Error(Code::kMalformed, "the verdict of a release is of another one, or that it was not proven", where,
                bundle_id + ", exit code 0", verdict.release.bundle_id + ", exit code " + std::to_string(exit_code),
                "deploy the bundle again");
  return verdict;
}

// What changes when another release becomes active, or this one is proven anew.
struct Seen {
  std::string bundle_id;
  std::vector<int64_t> versions;
  bool operator==(const Seen& other) const { return bundle_id == other.bundle_id && versions == other.versions; }
};

std::vector<int64_t> identify(const struct stat& status) {
  return {static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino), static_cast<int64_t>(status.st_size),
          status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
}

std::string read_link(const std::string& path) {
  char target[4096];
  const ssize_t length = readlink(path.c_str(), target, sizeof target);
  return length > 0 && length < static_cast<ssize_t>(sizeof target) ? std::string(target, static_cast<size_t>(length)) : "";
}

bool is_bundle_id(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Seen look(const std::string& root) {
  const std::string target = read_link(root + "/current");
  Seen seen{target.substr(target.rfind('/') + 1), {}};
  for (const std::string& path : {root + "/verdicts/" + seen.bundle_id + ".json", root + "/state.json"}) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) continue;
    for (const int64_t number : identify(status)) seen.versions.push_back(number);
    seen.versions.push_back(-1);
  }
  return seen;
}

// The active release's folder, open and under a shared flock(2): no deploy removes it while that lasts.
std::pair<std::string, Descriptor> hold_active(const std::string& root) {
  const std::string link = root + "/current";
  bool is_locked = false;
  for (int attempt = 0; attempt < kHoldAttempts; ++attempt, std::this_thread::sleep_for(kPause)) {
    const std::string target = read_link(link);
    struct stat status {};
    if (target.empty() && lstat(link.c_str(), &status) != 0)
      throw Error(Code::kUsage, "no release is active", link, "a link that a deploy made", "none",
                  "deploy a bundle to this ROOT first, or correct the path");
    const std::string bundle_id = target.substr(target.rfind('/') + 1);
    if (target != "releases/" + bundle_id || !is_bundle_id(bundle_id))
      throw Error(Code::kMalformed, "current is not a link to a release", link, "releases/BUNDLE_ID",
                  target.empty() ? "no link" : target, "move it away, and deploy again");
    const std::string path = root + "/" + target;
    Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder.is_open()) continue;
    is_locked = flock(folder.get(), LOCK_SH | LOCK_NB) != 0;
    if (is_locked) continue;
    // What was removed before it was held is not active any more: the next look finds what is.
    struct stat held {};
    if (fstat(folder.get(), &held) == 0 && lstat(path.c_str(), &status) == 0 && held.st_ino == status.st_ino &&
        held.st_dev == status.st_dev && read_link(link) == target)
      return {bundle_id, std::move(folder)};
  }
  if (is_locked)
    throw Error(Code::kBusy, "another process keeps the active release for itself", link, "shared locks on its folder",
                "an exclusive one", "find it with `fuser`, and end it");
  throw Error(Code::kContent, "the release that was active is gone", link, "a release", "a link to nothing",
              "deploy again; find out who removed it");
}

struct Answer {
  int code;
  std::string line;
};

// Asks ROOT/still_proven.py, by the Python that measured: signature, date, runtime, CPU and kernel are judged once.
Answer ask_agent(const std::string& root, const std::string& python, const std::set<uid_t>& owners,
                 std::chrono::milliseconds limit) {
  const std::string script = root + "/still_proven.py";
  if (access(script.c_str(), R_OK) != 0)
    return {static_cast<int>(Code::kExpired), "expired: the board's agent cannot be asked: there is no " + script};
  if (access(python.c_str(), X_OK) != 0)
    return {static_cast<int>(Code::kExpired), "expired: the Python that measured is gone: " + python};
  const std::string real = resolve(script);
  check_folders(real.substr(0, real.rfind('/')), owners);
  struct stat status {};
  if (stat(real.c_str(), &status) != 0 || !may_change(status, owners)) refuse_owner(Code::kStorage, real, status);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw Error(Code::kUnexpected, "the board's agent cannot be started", script, "a pipe", describe_errno(), "free memory");
  Descriptor from(ends[0]), to(ends[1]);
  const char* const arguments[] = {python.c_str(), "-I", "-B", script.c_str(), root.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), 1);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t process = 0;
  const int failed =
      posix_spawn(&process, python.c_str(), &actions, &attributes, const_cast<char* const*>(arguments), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  to.close();
  if (failed)
    throw Error(Code::kUnexpected, "the board's agent cannot be started", python, "a Python that runs", std::strerror(failed),
                "look at the Python that measured");
  std::string text;
  const auto end = std::chrono::steady_clock::now() + limit;
  bool is_over = false;
  while (!is_over && text.size() < kAnswerBytesMax) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd wait{from.get(), POLLIN, 0};
    if (left <= 0) break;
    if (poll(&wait, 1, static_cast<int>(std::min<int64_t>(left, 1000))) <= 0) continue;
    char block[4096];
    const ssize_t count = read(from.get(), block, sizeof block);
    if (count > 0) text.append(block, static_cast<size_t>(count));
    is_over = count == 0 || (count < 0 && errno != EINTR);
  }
  if (!is_over) kill(-process, SIGKILL);
  int result = 0;
  while (waitpid(process, &result, 0) < 0 && errno == EINTR) {
  }
  if (!is_over || !WIFEXITED(result))
    throw Error(Code::kUnexpected, "the board's agent does not answer", script,
                "an answer within " + std::to_string(limit.count()) + " ms", is_over ? "a crash" : "none",
                "run it by hand: " + python + " " + script + " " + root);
  return {WEXITSTATUS(result), text.substr(0, text.find('\n'))};
}

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

std::string write_shape(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ", ") + (size < 0 ? "any" : std::to_string(size));
  return "(" + text + ")";
}

[[noreturn]] void refuse_frame(const std::string& happened, const std::string& where, const std::string& expected,
                               const std::string& found) {
  throw FrameError(Code::kUsage, happened, where, expected, found,
                   "give what the model was proven with: inputs() says it; nothing is converted silently");
}

[[noreturn]] void refuse_picture(const std::string& expected, const std::string& found) {
  refuse_frame("the picture is not what the sensor gives", "picture", expected, found);
}

// As toolchain/agent/measure/preprocess/place.py; nearbyint rounds half to even in the default mode, as Python's round.
Placement place_picture(const PictureSpec& spec, int64_t source_height, int64_t source_width) {
  const bool is_as_it_is = source_height == spec.height && source_width == spec.width;
  if (source_height < 1 || source_width < 1 || source_height > (1 << 16) || source_width > (1 << 16) ||
      (spec.resize == "none" && !is_as_it_is))
    refuse_picture(spec.resize == "none" ? write_shape({spec.height, spec.width}) : "sides of 1 to 65536",
                   write_shape({source_height, source_width}));
  int64_t wide = spec.width, high = spec.height;
  const double across = static_cast<double>(spec.width) / static_cast<double>(source_width);
  const double down = static_cast<double>(spec.height) / static_cast<double>(source_height);
  const auto round = [](int64_t size, double scale) {
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(size) * scale));
  };
  if (spec.resize == "letterbox") {
    const double scale = std::min(across, down);
    wide = std::min(spec.width, std::max<int64_t>(1, round(source_width, scale)));
    high = std::min(spec.height, std::max<int64_t>(1, round(source_height, scale)));
  } else if (spec.resize == "crop") {
    const double scale = std::max(across, down) / spec.crop_share;
    wide = std::max(spec.width, round(source_width, scale));
    high = std::max(spec.height, round(source_height, scale));
  }
  const auto begin = [](int64_t size, int64_t inside) { return inside <= size ? (size - inside) / 2 : -((inside - size) / 2); };
  return {begin(spec.width, wide), begin(spec.height, high), wide, high, source_width, source_height};
}

struct Neighbours {
  int64_t first, second;
  int32_t weight;
};

// As toolchain/agent/measure/preprocess/resize.py.
Neighbours find_neighbours(int64_t index, int64_t source, int64_t size) {
  const int64_t unit = 2 * size;
  const int64_t at = std::clamp<int64_t>((2 * index + 1) * source - size, 0, unit * (source - 1));
  const int64_t first = at / unit;
  return {first, std::min(first + 1, source - 1),
          static_cast<int32_t>(((at - first * unit) * 2048 * 2 + unit) / (2 * unit))};
}

Tensor lay_picture(const PictureSpec& spec, const uint8_t* picture, const Placement& at) {
  const int64_t channels = spec.channels;
  const bool is_planar = spec.layout == "NCHW";
  Tensor tensor{spec.type, is_planar ? std::vector<int64_t>{1, channels, spec.height, spec.width}
                                     : std::vector<int64_t>{1, spec.height, spec.width, channels},
                std::vector<uint8_t>(static_cast<size_t>(channels * spec.height * spec.width), spec.fill)};
  std::vector<Neighbours> columns;
  for (int64_t x = 0; x < spec.width; ++x) columns.push_back(find_neighbours(x - at.left, at.source_width, at.width));
  for (int64_t y = std::max<int64_t>(0, at.top); y < std::min(spec.height, at.top + at.height); ++y) {
    const Neighbours row = find_neighbours(y - at.top, at.source_height, at.height);
    const uint8_t* upper = picture + row.first * at.source_width * channels;
    const uint8_t* lower = picture + row.second * at.source_width * channels;
    for (int64_t x = std::max<int64_t>(0, at.left); x < std::min(spec.width, at.left + at.width); ++x) {
      const Neighbours& column = columns[static_cast<size_t>(x)];
      for (int64_t c = 0; c < channels; ++c) {
        const auto across = [&](const uint8_t* line) {
          return line[column.first * channels + c] * (2048 - column.weight) + line[column.second * channels + c] * column.weight;
        };
        const int32_t summed = across(upper) * (2048 - row.weight) + across(lower) * row.weight;
        const int64_t place = is_planar ? (c * spec.height + y) * spec.width + x : (y * spec.width + x) * channels + c;
        tensor.bytes[static_cast<size_t>(place)] = static_cast<uint8_t>((summed + (1 << 21)) >> 22);
      }
    }
  }
  return tensor;
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

Error::Error(Code code_, const std::string& happened_, const std::string& where_, const std::string& expected_,
             const std::string& found_, const std::string& fix_)
    : std::runtime_error(write_error(code_, happened_, where_, expected_, found_, fix_)),
      code(code_),
      happened(happened_),
      where(where_),
      expected(expected_),
      found(found_),
      fix(fix_) {}

int64_t count_numbers(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(count, size, &count))
      refuse_frame("a shape is none", "shape", "sizes of 0 or more that memory could hold", write_shape(shape));
  return count;
}

void refuse_numbers(const std::string& expected, const std::string& found) {
  refuse_frame("a tensor has other numbers", "tensor", expected, found);
}

std::array<float, 4> Placement::restore(const std::array<float, 4>& box) const {
  std::array<float, 4> restored{};
  for (size_t side = 0; side < 4; ++side) {
    const bool is_x = side % 2 == 0;
    const auto source = static_cast<double>(is_x ? source_width : source_height);
    const double fraction = source / static_cast<double>(is_x ? width : height);
    const double value = (static_cast<double>(box[side]) - static_cast<double>(is_x ? left : top)) * fraction;
    restored[side] = static_cast<float>(std::isnan(value) ? value : std::clamp(value, 0.0, source));
  }
  return restored;
}

static Prepared prepare_picture(const std::optional<PictureSpec>& spec, const TensorView& picture) {
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

static void restore_boxes(Tensor& boxes, const Placement& at) {
  for (size_t start = 0; start + sizeof(std::array<float, 4>) <= boxes.bytes.size(); start += sizeof(std::array<float, 4>)) {
    std::array<float, 4> box{};
    std::memcpy(box.data(), boxes.bytes.data() + start, sizeof box);
    box = at.restore(box);
    std::memcpy(boxes.bytes.data() + start, box.data(), sizeof box);
  }
}

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

// Holds the payload against manifest and verdict; throws Error (11).
void check_proven(const Manifest& manifest, const Verdict& verdict, const std::string& where) {
  const Release& release = verdict.release;
  const auto entry = manifest.files.find(release.path);
  const auto candidate = manifest.candidates.find(release.precision);
  if (entry == manifest.files.end() || entry->second.sha256 != release.sha256 ||
      entry->second.size_bytes != verdict.size_bytes || candidate == manifest.candidates.end() ||
      candidate->second != release.path || release.model != manifest.model || verdict.target != manifest.target)
    throw Error(Code::kContent, "the verdict is about a payload that the bundle does not have", where, "one of the manifest's",
                release.path, "deploy the bundle again");
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
  const Answer answer = ask_agent(root, verdict.python, owners, options.agent_limit);
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
