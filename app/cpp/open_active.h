// Opens the payload that was proven of the active release, and never another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "board/active.h"
#include "edge_app.h"
#include "opened.h"

namespace edge_app {

// What answers, why its verdict holds no more, and what was looked at.
struct Active {
  std::shared_ptr<const Opened> opened;
  std::vector<std::string> reasons;
  Seen seen;
};

// Where what answers is what is `running`, that is returned.
Active open_active(const std::string& root, const Options& options, const std::shared_ptr<const Opened>& running);

}  // namespace edge_app
