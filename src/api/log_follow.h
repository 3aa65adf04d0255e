// Followed logs: GET /tasks/{name}/logs?follow=true, output as it is written, until the task has ended.
//
// Writes are seen by inotify, at most once in kFollowPause, however much a task writes; a silent task wakes nobody.
// Where inotify can't be had (the user's limit of watches), the files are looked at every kFollowTick instead.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/http_server.h"
#include "api/logs.h"
#include "reactor/reactor.h"
#include "sys/notify.h"
#include "task/manager.h"

namespace te {

constexpr MonoNanos kFollowPause = 20 * kMillisecond;
constexpr MonoNanos kFollowTick = 80 * kMillisecond;

class LogFollowers final : private IoHandler, private TimerHandler {
 public:
  /// `data_dir` is absolute, `root` is the same, open and borrowed. `bounded`: logs are cut by --task-log-max-bytes.
  LogFollowers(Reactor& reactor, HttpServer& server, const Manager& manager, std::string data_dir, int root,
               bool bounded);
  ~LogFollowers();
  LogFollowers(const LogFollowers&) = delete;
  LogFollowers& operator=(const LogFollowers&) = delete;

  /// Fills the response with a live stream.
  Result<void> follow(uint64_t ticket, const Task& task, const LogQuery& query, HttpResponse& response);

  void on_changed(const Task& task) { look_at(task, false); }
  /// It is no more: what it wrote is sent, and that was it.
  void on_gone(const Task& task) { look_at(task, true); }

  size_t size() const { return by_task_.size(); }

 private:
  class Body;
  static constexpr int kNoWatch = -1;

  void on_io(uint32_t events) override;
  void on_timer() override;
  void look_at(const Task& task, bool gone);
  void look_at(Body& body);
  void look_at_all();
  int watch_file(Body& body, const std::string& path);
  void unwatch_file(Body& body, int number);
  void keep_ticking();
  void remove(Body& body);

  Reactor& reactor_;
  HttpServer& server_;
  const Manager& manager_;
  std::string data_dir_;
  int root_;
  bool bounded_;
  sys::Notifier notifier_;
  Watch notifier_watch_;
  Timer timer_;          ///< the end of a pause, or the tick
  bool paused_ = false;  ///< events wait until it is over
  std::multimap<uint64_t, Body*> by_task_;
  std::unordered_multimap<int, Body*> by_watch_;
  uint32_t unwatched_ = 0;  ///< files that only the tick sees
};

}  // namespace te
