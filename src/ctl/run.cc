// The command run: a task of its own, its output as it comes, its exit status at the end.
//
// Three requests are under way at once: stdout and stderr, followed, and the wait for the end. Each is asked again when
// its connection breaks, because the task goes on while an agent is being replaced.
#include <signal.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/utf8.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/net.h"
#include "sys/signals.h"
#include "wire/json_writer.h"

namespace te::ctl {

namespace {

std::string made_up_name() {
  constexpr size_t kDigits = 8;
  std::string name("run-");
  name.resize(name.size() + kDigits);
  if (!sys::random_hex(name.data() + name.size() - kDigits, kDigits)) return "run";
  return name;
}

std::string task_json(const Options& options, std::string_view name) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("name").string(name).key("spec").begin_object().key("process").begin_object();
  json.key("command").begin_array();
  for (const std::string& word : options.command) json.string(word);
  json.end_array();
  if (!options.env.empty()) {
    json.key("env").begin_array();
    for (const std::string& entry : options.env) {
      const size_t equals = entry.find('=');
      json.begin_object().key("name").string(std::string_view(entry).substr(0, equals));
      json.key("value").string(std::string_view(entry).substr(equals + 1)).end_object();
    }
    json.end_array();
  }
  if (!options.workdir.empty()) json.key("workingDir").string(options.workdir);
  json.end_object();
  if (options.timeout) json.key("timeoutSeconds").number((*options.timeout + kSecond - 1) / kSecond);
  if (options.grace) json.key("terminationGracePeriodSeconds").number(*options.grace);
  json.end_object().end_object();
  return text;
}

/// JSON can't carry anything else, and what stands in its place would be another command.
bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text, 0);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// One of the three requests.
struct Part {
  std::string target;
  int out = -1;  ///< where the body goes; -1: it is kept
  std::optional<Exchange> exchange;
  std::string body;
  int64_t received = 0;
  MonoNanos retry_at = 0;
  MonoNanos broken_since = kNever;
  bool done = false;

  int status() const { return exchange ? exchange->response().status() : 0; }
};

bool still_runs(const std::string& json) {
  const Result<std::vector<TaskRow>> rows = read_rows(json);
  return rows && rows->size() == 1 && !rows->front().ended();
}

class Run {
 public:
  Run(const Server& server, std::string name) : server_(server), name_(std::move(name)) {
    parts_[0].target = task_path(name_, "/logs?stream=stdout&follow=true&since=");
    parts_[0].out = 1;
    parts_[1].target = task_path(name_, "/logs?stream=stderr&follow=true&since=");
    parts_[1].out = 2;
    parts_[2].target = task_path(name_, "?wait=terminated");
  }

  int follow(int signals);
  /// A signal ends the wait for the agent's answer.
  void stop(int signals);

 private:
  Result<void> move(Part& part);
  Result<void> begin(Part& part);
  Result<void> broke(Part& part, const Error& error);
  int tell_end() const;

  const Server& server_;
  std::string name_;
  std::array<Part, 3> parts_;
  int stopped_by_ = 0;
};

Result<void> Run::broke(Part& part, const Error& error) {
  const MonoNanos now = sys::mono_now();
  part.exchange.reset();
  part.broken_since = std::min(part.broken_since, now);
  part.retry_at = now + kRetryInterval;
  if (now - part.broken_since > kReplacePatience) return error;
  return {};
}

Result<void> Run::begin(Part& part) {
  std::string target = part.target;
  if (part.out >= 0) append_int(target, part.received);
  part.body.clear();
  Result<Exchange> exchange = Exchange::open(server_, "GET", target);
  if (!exchange) return broke(part, exchange.error());
  part.exchange = std::move(exchange).value();
  return {};
}

Result<void> Run::move(Part& part) {
  const Result<void> moved = part.exchange->advance(part.body);
  const HttpResponseParser& response = part.exchange->response();
  const bool good = response.head_complete() && response.status() == 200;
  if (good) part.broken_since = kNever;
  if (part.out >= 0 && good && !part.body.empty()) {
    TRY(sys::write_all(part.out, part.body));
    part.received += static_cast<int64_t>(part.body.size());
    part.body.clear();
  }
  if (!moved) return broke(part, moved.error());
  part.done = response.done();
  if (!part.done) return {};
  if (good && part.out < 0 && still_runs(part.body)) {  // an agent that is stopped answers its polls
    part.done = false;
    return broke(part, {});
  }
  if (good) return {};
  Error error{ErrorKind::kInvalid, 0, error_message(part.body)};
  const int status = response.status();
  if (status == 503 || status == 507) {  // no descriptor, no connection left: later perhaps
    part.done = false;
    return broke(part, error);
  }
  // What the wait is told is told at the end; without a log, an end would pass for the end of the whole output.
  if (part.out < 0 || (status == 404 && stopped_by_ != 0)) return {};
  return error;
}

void Run::stop(int signals) {
  const Result<Answer> answer = ask(server_, "DELETE", task_path(name_), {}, signals);
  if (answer && (answer->ok() || answer->status == 404)) return;
  complain("the task " + name_ +
           " can't be stopped: " + (answer ? error_message(answer->body) : answer.error().text()));
}

int Run::follow(int signals) {
  for (;;) {
    bool all_done = true;
    std::vector<sys::Awaited> awaited = {{signals, false}};
    std::vector<Part*> waiting = {nullptr};
    MonoNanos deadline = kNever;
    for (Part& part : parts_) {
      if (part.done) continue;
      all_done = false;
      if (!part.exchange && sys::mono_now() >= part.retry_at) {
        if (const Result<void> begun = begin(part); !begun) {
          (void)fail(begun.error());
          return kOwnFailure;
        }
      }
      if (part.exchange) {
        awaited.push_back({part.exchange->fd(), part.exchange->wants_write()});
        waiting.push_back(&part);
      } else {
        deadline = std::min(deadline, part.retry_at);
      }
    }
    if (all_done) return tell_end();
    if (!sys::wait_ready(awaited, deadline)) return kOwnFailure;
    for (size_t i = 1; i < waiting.size(); ++i) {
      if (!awaited[i].ready) continue;
      if (const Result<void> moved = move(*waiting[i]); !moved) {
        (void)sys::next_signal(signals);  // what ended a reader of the output has come to us, too
        stop(signals);                    // nobody reads it, or the agent has gone
        (void)fail(moved.error());
        return kOwnFailure;
      }
    }
    if (const int signal = sys::next_signal(signals)) {
      if (stopped_by_ != 0) return 128 + signal;
      stopped_by_ = signal;
      stop(signals);
    }
  }
}

int Run::tell_end() const {
  const Part& part = parts_[2];
  if (part.status() != 200) {
    if (stopped_by_ == 0) complain(name_ + ": " + error_message(part.body));
    return stopped_by_ != 0 ? 128 + stopped_by_ : kOwnFailure;
  }
  const Result<std::vector<TaskRow>> rows = read_rows(part.body);
  if (!rows || rows->size() != 1 || !rows->front().ended()) {
    complain("the agent's answer is not understood");
    return kOwnFailure;
  }
  ctl::tell_end(rows->front());
  return exit_status(rows->front());
}

}  // namespace

int run_task(const Options& options) {
  if (options.command.empty()) {
    complain("the command is missing: taskctl run [FLAG]... -- COMMAND [ARGUMENT]...");
    return kUsage;
  }
  if (!std::ranges::all_of(options.command, is_utf8) || !std::ranges::all_of(options.env, is_utf8) ||
      !is_utf8(options.workdir)) {
    complain("command, -e and -w must be UTF-8");
    return kUsage;
  }
  const Result<Server> server = server_of(options);
  if (!server) {
    (void)fail(server.error());
    return kOwnFailure;
  }
  const std::string name = options.name.empty() ? made_up_name() : options.name;
  // From before the task is there: whoever interrupts stops it.
  const Result<Fd> signals = sys::catch_signals({SIGINT, SIGTERM, SIGHUP});
  sys::ignore_broken_pipes();
  if (!signals) {
    (void)fail(signals.error());
    return kOwnFailure;
  }
  Result<Exchange> exchange = Exchange::open(*server, "POST", "/tasks", task_json(options, name));
  const Result<Answer> created = exchange ? answer_to(*exchange, signals->get()) : Result<Answer>(exchange.error());
  if (!created || !created->ok()) {
    (void)(!created ? fail(created.error()) : fail(*created));
    const int signal = sys::next_signal(signals->get());
    if (exchange && !created) {
      complain("whether there is a task " + name + " now is not known");
      if (signal != 0 && options.name.empty()) Run(*server, name).stop(signals->get());  // nobody else has that name
    }
    return signal == 0 ? kOwnFailure : 128 + signal;
  }
  if (created->status != 201) {  // what it said and how it ended would pass for this run's
    complain("the task " + name + " is there already");
    return kOwnFailure;
  }
  if (options.detach) return print(name + "\n") ? 0 : kOwnFailure;
  Run run(*server, name);
  const int status = run.follow(signals->get());
  if (options.remove) run.stop(signals->get());
  return status;
}

}  // namespace te::ctl
