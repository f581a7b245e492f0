#include "board/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "board/descriptor.h"
#include "board/ownership.h"
#include "edge_app.h"

namespace edge_app {
namespace {

// What the agent says is one line.
constexpr size_t kAnswerBytesMax = 64 * 1024;

}  // namespace

AgentAnswer ask_agent(const std::string& root, const std::string& python, const std::set<uid_t>& owners,
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

}  // namespace edge_app
