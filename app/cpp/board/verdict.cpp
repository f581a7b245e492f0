#include "board/verdict.h"

#include <algorithm>

#include "board/document.h"

namespace edge_app {
namespace {

using nlohmann::json;

// Of toolchain/agent/install/verdict.py; tests/app/test_cpp.py holds them against each other.
constexpr int kVerdictSchema = 3;

}  // namespace

Verdict read_verdict(const json& document, const std::string& bundle_id, const std::string& where) {
  check_schema(document, kVerdictSchema, where);
  const json& shipped = document.at("shipped");
  Verdict verdict;
  verdict.release = {document.at("bundle_id"), document.at("model"),    shipped.at("precision"),
                     shipped.at("path"),       shipped.at("sha256"), document.at("time")};
  verdict.candidate = read_candidate(shipped);
  verdict.size_bytes = shipped.at("size_bytes");
  verdict.target = document.at("target");
  verdict.python = document.at("python_path");
  if (const json& engine = document.at("engine"); !engine.is_null())
    verdict.engine = {engine.at("path"), engine.at("sha256"), engine.at("size_bytes")};
  for (const auto& item : document.at("environment").at("libraries").items()) verdict.libraries.push_back(item.value());
  const int exit_code = document.at("exit_code");
  if (verdict.release.bundle_id != bundle_id || exit_code != 0)
    throw Error(Code::kMalformed, "the verdict of a release is of another one, or that it was not proven", where,
                bundle_id + ", exit code 0", verdict.release.bundle_id + ", exit code " + std::to_string(exit_code),
                "deploy the bundle again");
  return verdict;
}

void check_proven(const Manifest& manifest, const Verdict& verdict, const std::string& where) {
  const Release& release = verdict.release;
  const auto entry = manifest.files.find(release.path);
  const auto& candidates = manifest.candidates;
  if (entry == manifest.files.end() || entry->second.sha256 != release.sha256 ||
      entry->second.size_bytes != verdict.size_bytes ||
      std::find(candidates.begin(), candidates.end(), verdict.candidate) == candidates.end() || release.model != manifest.model || verdict.target != manifest.target)
    throw Error(Code::kContent, "the verdict is about a payload that the bundle does not have", where, "one of the manifest's",
                release.path, "deploy the bundle again");
}

}  // namespace edge_app
