// The endpoints (contract, section 2): requests to manager commands, the manager's replies to answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/http_server.h"
#include "api/log_follow.h"
#include "api/logs.h"
#include "api/metrics.h"
#include "api/token_file.h"
#include "api/watch.h"
#include "base/histogram.h"
#include "codec/task_json.h"
#include "task/manager.h"
#include "wire/json_reader.h"
#include "wire/query.h"

namespace te {

struct TaskApiOptions {
  SpecOptions spec;
  std::optional<TokenFile> token;  ///< none: anybody may ask
  std::string data_dir;            ///< absolute
  int data_root = -1;              ///< the same, open; borrowed
  bool logs_bounded = false;       ///< --task-log-max-bytes
  std::string version_json;        ///< the answer of GET /version
  std::string build_labels;        ///< of the metric build_info, without the braces
};

/// Whether tasks could be taken on now.
class Readiness {
 public:
  virtual Result<void> ready() = 0;
  /// Figures that the manager and the server do not keep themselves.
  virtual const Histogram& loop_turns() const = 0;
  virtual const Histogram& durable_writes() const = 0;
  virtual size_t supervisors() const = 0;
  virtual bool records_watched() const = 0;
  virtual std::optional<RuntimeFigures> container_runtime() const = 0;

 protected:
  ~Readiness() = default;
};

class TaskApi final : public HttpHandler, public Observer {
 public:
  TaskApi(TaskApiOptions options, Readiness& readiness, const Clock& clock)
      : options_(std::move(options)), readiness_(readiness), clock_(clock) {}
  /// Before the first request; both know this object and so are made after it.
  void bind(Manager& manager, HttpServer& server, Reactor& reactor);

  void handle(uint64_t ticket, const HttpRequest& request, HttpResponse& response) override;
  bool admit(const HttpRequest& request, HttpResponse& response) override;
  bool on_poll_woken(uint64_t ticket, HttpResponse& response) override;
  void on_poll_deadline(uint64_t ticket, HttpResponse& response) override;
  void on_poll_abandoned(uint64_t ticket) override;

  void on_reply(uint64_t ticket, const Reply& reply) override;
  void on_added(const Task& task) override;
  void on_changed(const Task& task) override;
  void on_gone(const Task& task) override;

  /// Once a turn, behind all changes: they are told to watchers. True: there is more to do at once.
  bool end_turn();

 private:
  /// A long poll that waits for one task to end, or for all.
  struct Poll {
    uint64_t task;
    bool all;  ///< the task is one that has not ended; when it has, the next one is looked for
  };

  void route(uint64_t ticket, const HttpRequest& request, HttpResponse& response);
  void route_task(uint64_t ticket, const HttpRequest& request, std::string_view rest, HttpResponse& response);
  Result<void> create(uint64_t ticket, const HttpRequest& request, HttpResponse& response);
  Result<void> set(uint64_t ticket, const HttpRequest& request, HttpResponse& response);
  Result<void> list(uint64_t ticket, const HttpRequest& request, HttpResponse& response);
  Result<void> get(uint64_t ticket, const HttpRequest& request, const Task& task, HttpResponse& response);
  Result<void> logs(uint64_t ticket, const HttpRequest& request, const Task& task, HttpResponse& response);
  void ready(HttpResponse& response);
  void metrics(HttpResponse& response) const;
  Result<void> read_timeout(const QueryParameter& parameter, MonoNanos& deadline) const;
  void answer_list(HttpResponse& response) const;
  void wake_polls(const Task& task);
  void keep_warnings(uint64_t ticket, std::vector<std::string> warnings);

  TaskApiOptions options_;
  Readiness& readiness_;
  const Clock& clock_;
  Manager* manager_ = nullptr;
  HttpServer* server_ = nullptr;
  std::unique_ptr<LogFollowers> followers_;
  std::unique_ptr<WatchHub> watches_;
  JsonParser parser_;
  std::unordered_map<uint64_t, std::vector<std::string>> warnings_;  ///< by ticket, of commands under way
  std::unordered_map<uint64_t, Poll> polls_;                         ///< by ticket
};

}  // namespace te
