#include "open_active.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "board/agent.h"
#include "board/descriptor.h"
#include "board/document.h"
#include "board/file.h"
#include "board/hash.h"
#include "board/manifest.h"
#include "board/ownership.h"
#include "board/payload.h"
#include "board/verdict.h"
#include "golden/check_answers.h"
#include "golden/check_pictures.h"
#include "golden/check_texts.h"
#include "runtimes/runtime.h"
#include "text/open.h"

namespace edge_app {
namespace {

using nlohmann::json;

constexpr size_t kManifestBytesMax = 512 * 1024;
constexpr size_t kVerdictBytesMax = 16 << 20;
constexpr int kOpenAttempts = 5;
constexpr auto kRest = std::chrono::milliseconds(100);

void refuse_unproven(const std::vector<std::string>& reasons, const std::string& bundle_id, const std::string& fix) {
  std::string found;
  for (const std::string& reason : reasons) found += (found.empty() ? "" : "; ") + reason;
  throw ExpiredError(Code::kExpired, "the active release is not proven here and now", bundle_id, "a verdict that holds",
                     found, fix);
}

// Refuses what this application has no runtime for.
const Runtime& choose_runtime(const Verdict& verdict, const std::string& where) {
  const Runtime* const runtime = find_runtime(verdict.candidate.runtime);
  if (!runtime)
    throw Error(Code::kIncompatible, "this application was built without the runtime of the release", where, list_runtimes(), verdict.candidate.runtime,
                "build it where that runtime is (docs/application.md), or deploy for one that it has");
  if (runtime->opens_engines != verdict.engine.has_value())
    throw Error(Code::kIncompatible, "what was proven is nothing that the runtime opens", where,
                std::string(runtime->opens_engines ? "an engine" : "a payload") + " of " + runtime->title, verdict.engine ? "an engine" : "no engine",
                "deploy the bundle again");
  return *runtime;
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
  manifest.threads = verdict.candidate.threads;
  manifest.pins_threads = verdict.candidate.pins_threads;
  const Runtime& runtime = choose_runtime(verdict, manifest_path);
  const PayloadFile payload =
      verdict.engine ? read_engine(root, *verdict.engine, owners) : read_payload(hold.get(), release_path, verdict, owners);
  const AgentAnswer answer = ask_agent(root, verdict.python, owners, options.agent_limit);
  if (answer.code != 0 && answer.code != static_cast<int>(Code::kExpired))
    throw Error(static_cast<Code>(answer.code), "the board's agent says that the release is not what was proven", root,
                "a release that was proven", answer.line.empty() ? "no word" : answer.line, "deploy again");
  std::vector<std::string> reasons;
  if (answer.code != 0) reasons.push_back(answer.line.empty() ? "expired" : answer.line);
  const std::string library = runtime.hash_library();
  if (std::find(verdict.libraries.begin(), verdict.libraries.end(), library) == verdict.libraries.end())
    reasons.push_back(std::string("this process has loaded a library that was not measured: ") + runtime.title + " " + runtime.read_version() +
                      ", sha256 " + library);
  if (!reasons.empty() && !options.warns_of_unproven)
    refuse_unproven(reasons, bundle_id, "prove it again: `toolchain verify --device NAME`; or warns_of_unproven opens it");
  if (running && running->is_of(verdict.release, payload)) return {running, reasons, {}};
  Meaning meaning(manifest, options.decodes);
  const GoldenFolder golden{hold.get(), release_path, owners, manifest};
  std::shared_ptr<const Tokenizer> tokenizer = open_tokenizer(golden);
  check_texts(golden, tokenizer.get());
  check_pictures(golden);
  check_answers(golden, meaning);
  auto opened = std::make_shared<const Opened>(verdict.release, std::move(manifest), std::move(meaning), std::move(tokenizer),
                                               std::move(hold), runtime, payload);
  if (options.warms_up) opened->warm_up();
  return {opened, reasons, {}};
}

}  // namespace

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

}  // namespace edge_app
