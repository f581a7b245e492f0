// Follows the releases of a board: opens what becomes active beside what answers, which goes on until the new one is open.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "edge_app.h"
#include "open_active.h"
#include "opened.h"

namespace edge_app {

class Follower {
 public:
  // Opens what is active, and looks for another on a thread of its own where `options` ask for it; throws Error.
  Follower(const std::string& root, Options options);
  ~Follower();

  std::shared_ptr<const Opened> opened() const;
  bool refresh();
  std::vector<std::string> reasons() const;
  std::optional<Error> trouble() const;

 private:
  void take(Active found);
  // Under `opening_`: what answers is not exchanged meanwhile.
  void note_change();
  void note(std::optional<Error> trouble);
  void watch();
  void look_once();
  void look_for_another();

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

}  // namespace edge_app
