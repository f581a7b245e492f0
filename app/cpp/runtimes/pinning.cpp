#include "runtimes/pinning.h"

#include <dirent.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "edge_app.h"

namespace edge_app {
namespace {

constexpr char kTasks[] = "/proc/self/task";
// A thread sets its own affinity when it begins, which a busy board may put off; nothing waits for longer.
constexpr std::chrono::seconds kAppear{10};
constexpr std::chrono::milliseconds kPause{1};

std::set<std::string> list_threads() {
  std::set<std::string> names;
  if (DIR* folder = opendir(kTasks)) {
    while (const dirent* entry = readdir(folder))
      if (entry->d_name[0] != '.') names.insert(entry->d_name);
    closedir(folder);
  }
  return names;
}

// Such as "0-3" (proc_pid_status(5)); nothing for a thread that has ended.
std::string read_cpus(const std::string& thread) {
  static const std::string key = "Cpus_allowed_list:";
  std::ifstream status(std::string(kTasks) + "/" + thread + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.compare(0, key.size(), key) == 0) return line.substr(line.find_first_not_of(" \t", key.size()));
  return "";
}

Error refuse(const std::string& where, const std::string& expected, const std::string& found) {
  return Error(Code::kIncompatible, "the threads of a payload cannot be pinned here", where, expected, found,
               "give the process as many CPUs (cpuset, taskset, CPUAffinity), or take pinning out of the target and deploy again");
}

}  // namespace

PinnedThreads::PinnedThreads(int threads, std::string where) : where_(std::move(where)), before_(list_threads()) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &allowed)) cpus_.push_back(cpu);
  if (cpus_.size() < static_cast<size_t>(threads) || threads < 2)
    throw refuse(where_, std::to_string(std::max(threads, 2)) + " CPUs that this process may use", std::to_string(cpus_.size()));
  cpus_.erase(cpus_.begin(), cpus_.end() - (threads - 1));
}

std::string PinnedThreads::name_affinities() const {
  std::string names;
  for (const int cpu : cpus_) names += (names.empty() ? "" : ";") + std::to_string(cpu + 1);
  return names;
}

void PinnedThreads::check() const {
  const auto limit = std::chrono::steady_clock::now() + kAppear;
  while (true) {
    std::set<std::string> found;
    for (const std::string& thread : list_threads())
      if (before_.count(thread) == 0) found.insert(read_cpus(thread));
    const bool is_pinned =
        std::all_of(cpus_.begin(), cpus_.end(), [&](int cpu) { return found.count(std::to_string(cpu)) == 1; });
    if (is_pinned) return;
    if (std::chrono::steady_clock::now() > limit) {
      std::string wanted, told;
      for (const int cpu : cpus_) wanted += (wanted.empty() ? "" : ", ") + std::to_string(cpu);
      for (const std::string& cpus : found) told += (told.empty() ? "" : "; ") + cpus;
      throw refuse(where_, "a thread on each of the CPUs " + wanted + " alone", told.empty() ? "no thread of its own" : told);
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace edge_app
