#include "follow.h"

#include <atomic>

#include "board/ownership.h"

namespace edge_app {
namespace {

// A release that could not be opened is tried again when something changes, and after so many looks.
constexpr int kLooksUntilRetry = 30;
// A date that passes, a key that is revoked, a runtime that is upgraded change nothing of it: every ten minutes, once a second.
constexpr int kLooksUntilProof = 600;

}  // namespace

Follower::Follower(const std::string& root, Options options) : root_(resolve(root)), options_(options) {
  take(open_active(root_, options_, nullptr));
  if (options_.check_interval.count() > 0) watcher_ = std::thread([this] { watch(); });
}

Follower::~Follower() {
  {
    std::lock_guard<std::mutex> lock(waiting_);
    is_ended_ = true;
  }
  wake_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

std::shared_ptr<const Opened> Follower::opened() const { return std::atomic_load(&opened_); }

bool Follower::refresh() {
  std::lock_guard<std::mutex> lock(opening_);
  const auto before = opened();
  if (!(look(root_) == seen_)) take(open_active(root_, options_, before));
  note_change();
  return opened() != before;
}

std::vector<std::string> Follower::reasons() const {
  std::lock_guard<std::mutex> lock(noting_);
  return reasons_;
}

std::optional<Error> Follower::trouble() const {
  std::lock_guard<std::mutex> lock(noting_);
  return trouble_ ? trouble_ : change_;
}

void Follower::take(Active found) {
  std::atomic_store(&opened_, std::move(found.opened));
  seen_ = std::move(found.seen);
  failed_.reset();
  std::lock_guard<std::mutex> lock(noting_);
  reasons_ = std::move(found.reasons);
  trouble_.reset();
  change_.reset();
}

void Follower::note_change() {
  std::optional<Error> change = opened()->find_change();
  std::lock_guard<std::mutex> lock(noting_);
  change_ = std::move(change);
}

void Follower::note(std::optional<Error> trouble) {
  std::lock_guard<std::mutex> lock(noting_);
  trouble_ = std::move(trouble);
}

void Follower::watch() {
  std::unique_lock<std::mutex> lock(waiting_);
  while (!wake_.wait_for(lock, options_.check_interval, [this] { return is_ended_; })) {
    lock.unlock();
    look_once();
    lock.lock();
  }
}

void Follower::look_once() {
  std::lock_guard<std::mutex> lock(opening_);
  look_for_another();
  note_change();
}

void Follower::look_for_another() {
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

}  // namespace edge_app
