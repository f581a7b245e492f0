// The board's own agent, who judges whether a verdict still holds.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <set>
#include <string>

namespace edge_app {

struct AgentAnswer {
  int code;
  std::string line;
};

// Asks ROOT/still_proven.py, by the Python that measured: signature, date, runtime, CPU and kernel are judged once.
AgentAnswer ask_agent(const std::string& root, const std::string& python, const std::set<uid_t>& owners,
                      std::chrono::milliseconds limit);

}  // namespace edge_app
