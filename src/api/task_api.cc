#include "api/task_api.h"

#include <algorithm>

#include "api/openapi.h"
#include "api/task_list.h"
#include "base/text.h"
#include "wire/json_writer.h"

namespace te {

namespace {

bool is_read(HttpMethod method) { return method == HttpMethod::kGet || method == HttpMethod::kHead; }

void refuse_method(HttpResponse& response, std::string_view allowed) {
  response.set_error(405, "the method is not allowed here");
  response.add_header("Allow", allowed);
}

Error bad_parameter(const QueryParameter& parameter, std::string_view message) {
  return invalid(parameter.name + ": " + std::string(message));
}

void warn_of_parameter(const QueryParameter& parameter, HttpResponse& response) {
  response.add_warning("unknown query parameter \"" + parameter.name + "\"");
}

std::vector<std::string> warnings_of(const std::vector<QueryParameter>& unknown) {
  std::vector<std::string> out;
  out.reserve(unknown.size());
  for (const QueryParameter& parameter : unknown) out.push_back("unknown query parameter \"" + parameter.name + "\"");
  return out;
}

Route route_of(std::string_view path) {
  for (size_t i = 1; i < kRouteNames.size(); ++i) {
    if (kRouteNames[i] == path) return static_cast<Route>(i);
  }
  if (!path.starts_with("/tasks/")) return Route::kUnknown;
  const size_t slash = path.find('/', 7);
  if (slash == std::string_view::npos) return Route::kTask;
  return path.substr(slash) == "/logs" ? Route::kLogs : Route::kUnknown;
}

/// The log of the container of that name; without a name of the only one, or of the first of a pod's main ones.
Result<std::string> log_file_of(const PodSpec& pod, std::string_view container) {
  if (container.empty()) return pod_log_file(pod.containers.front().name);
  for (size_t i = 0; i < pod.size(); ++i) {
    if (pod.container(i).name == container) return pod_log_file(container);
  }
  return invalid("container: the task has none of that name");
}

PaddedText body_of(const HttpRequest& request) {
  static_assert(kBodyPadding >= kJsonPadding);
  return {request.body.data(), request.body.size()};
}

}  // namespace

void TaskApi::bind(Manager& manager, HttpServer& server, Reactor& reactor) {
  manager_ = &manager;
  server_ = &server;
  followers_ = std::make_unique<LogFollowers>(reactor, server, manager, options_.data_dir, options_.data_root,
                                              options_.logs_bounded);
  watches_ = std::make_unique<WatchHub>(reactor, server, manager, clock_);
}

void TaskApi::handle(uint64_t ticket, const HttpRequest& request, HttpResponse& response) {
  if (request.path == "/health") {
    response.route = Route::kHealth;
    if (!is_read(request.method)) return refuse_method(response, "GET, HEAD");
    if (admit(request, response)) response.body = R"({"status":"healthy"})";
    return;
  }
  response.route = route_of(request.path);
  if (admit(request, response)) route(ticket, request, response);
}

// A web page must reach nothing here, not even by a name that its owner points at 127.0.0.1: what a browser sends on
// behalf of a page carries one of these fields (Fetch standard, "Origin"; Fetch Metadata).
bool TaskApi::admit(const HttpRequest& request, HttpResponse& response) {
  if (response.route == Route::kNone) response.route = route_of(request.path);
  std::string_view authorization;
  for (const HttpHeader& header : request.headers) {
    const bool from_page =
        iequals(header.name, "origin") || (iequals(header.name, "sec-fetch-site") && !iequals(header.value, "none"));
    if (from_page) {
      response.set_error(403, "requests of web pages are not answered (" + std::string(header.name) + ")");
      return false;
    }
    if (iequals(header.name, "authorization")) authorization = header.value;
  }
  if (!options_.token || request.path == "/health" || request.path == "/readyz") return true;
  if (options_.token->accepts(authorization)) return true;
  response.set_error(401, authorization.empty() ? "a bearer token is needed" : "the token is wrong");
  response.add_header("WWW-Authenticate", "Bearer");
  return false;
}

void TaskApi::route(uint64_t ticket, const HttpRequest& request, HttpResponse& response) {
  const std::string_view path = request.path;
  const bool read = is_read(request.method);
  Result<void> done;
  if (path == "/tasks") {
    if (read) {
      done = list(ticket, request, response);
    } else if (request.method == HttpMethod::kPost) {
      done = create(ticket, request, response);
    } else {
      return refuse_method(response, "GET, HEAD, POST");
    }
  } else if (path == "/getTasks") {
    if (!read) return refuse_method(response, "GET, HEAD");
    done = list(ticket, request, response);
  } else if (path == "/setTasks") {
    if (request.method != HttpMethod::kPost) return refuse_method(response, "POST");
    done = set(ticket, request, response);
  } else if (path.starts_with("/tasks/")) {
    return route_task(ticket, request, path.substr(7), response);
  } else if (path == "/readyz" || path == "/version" || path == "/metrics" || path == "/openapi.json") {
    if (!read) return refuse_method(response, "GET, HEAD");
    if (path == "/readyz") {
      ready(response);
    } else if (path == "/version") {
      response.body = options_.version_json;
    } else if (path == "/openapi.json") {
      response.body = kOpenApiJson;
    } else {
      metrics(response);
    }
  } else {
    response.set_error(404, "there is no such path");
  }
  if (!done) response.set_error(done.error());
}

// "/tasks/" and then a name, and perhaps "/logs". Names are looked at as they came: an escape is never undone.
void TaskApi::route_task(uint64_t ticket, const HttpRequest& request, std::string_view rest, HttpResponse& response) {
  const size_t slash = rest.find('/');
  const std::string_view name = rest.substr(0, slash);
  const std::string_view sub = slash == std::string_view::npos ? "" : rest.substr(slash);
  if (!valid_task_name(name)) return response.set_error(invalid("the task's name " + std::string(kTaskNameRule)));
  if (!sub.empty() && sub != "/logs") return response.set_error(404, "there is no such path");
  if (sub.empty() && request.method == HttpMethod::kDelete) {
    const Result<std::vector<QueryParameter>> query = parse_query(request.query);
    if (!query) return response.set_error(query.error());
    keep_warnings(ticket, warnings_of(*query));
    manager_->remove(ticket, name);
    response.when = HttpResponse::When::kLater;
    return;
  }
  if (!is_read(request.method)) return refuse_method(response, sub.empty() ? "GET, HEAD, DELETE" : "GET, HEAD");
  const Task* task = manager_->find(name);
  if (task == nullptr) return response.set_error(404, "there is no task \"" + std::string(name) + "\"");
  const Result<void> done =
      sub.empty() ? get(ticket, request, *task, response) : logs(ticket, request, *task, response);
  if (!done && done.error().kind == ErrorKind::kSystem) return response.set_error(500, done.error().text());
  if (!done) response.set_error(done.error());
}

Result<void> TaskApi::create(uint64_t ticket, const HttpRequest& request, HttpResponse& response) {
  std::vector<std::string> warnings = warnings_of(TRY(parse_query(request.query)));
  TaskRequests wishes = TRY(read_task(parser_, body_of(request), options_.spec));
  std::move(wishes.warnings.begin(), wishes.warnings.end(), std::back_inserter(warnings));
  TaskRequest& wish = wishes.tasks.front();
  keep_warnings(ticket, std::move(warnings));
  manager_->create(ticket, {std::move(wish.name), std::move(wish.spec)});
  response.when = HttpResponse::When::kLater;
  return {};
}

Result<void> TaskApi::set(uint64_t ticket, const HttpRequest& request, HttpResponse& response) {
  OnSpecChange on_change = OnSpecChange::kKeep;
  std::vector<std::string> warnings;
  for (const QueryParameter& parameter : TRY(parse_query(request.query))) {
    if (parameter.name != "onSpecChange") {
      warnings.push_back("unknown query parameter \"" + parameter.name + "\"");
    } else if (parameter.value != "keep" && parameter.value != "replace") {
      return bad_parameter(parameter, "must be keep or replace");
    } else {
      on_change = parameter.value == "keep" ? OnSpecChange::kKeep : OnSpecChange::kReplace;
    }
  }
  TaskRequests wishes = TRY(read_task_list(parser_, body_of(request), options_.spec));
  std::move(wishes.warnings.begin(), wishes.warnings.end(), std::back_inserter(warnings));
  keep_warnings(ticket, std::move(warnings));
  std::vector<NewTask> tasks;
  tasks.reserve(wishes.tasks.size());
  for (TaskRequest& wish : wishes.tasks) tasks.push_back({std::move(wish.name), std::move(wish.spec)});
  manager_->set(ticket, std::move(tasks), on_change);
  response.when = HttpResponse::When::kLater;
  return {};
}

void TaskApi::keep_warnings(uint64_t ticket, std::vector<std::string> warnings) {
  if (!warnings.empty()) warnings_[ticket] = std::move(warnings);
}

Result<void> TaskApi::list(uint64_t ticket, const HttpRequest& request, HttpResponse& response) {
  bool watch = false;
  std::optional<uint64_t> revision;
  bool wait = false;
  MonoNanos deadline = kNever;
  for (const QueryParameter& parameter : TRY(parse_query(request.query))) {
    if (parameter.name == "watch") {
      const std::optional<bool> wanted = parse_bool(parameter.value);
      if (!wanted) return bad_parameter(parameter, "must be true or false");
      watch = *wanted;
    } else if (parameter.name == "revision") {
      const std::optional<int64_t> number = parse_int(parameter.value);
      if (!number || *number < 0) return bad_parameter(parameter, "must be a revision that a watch has told");
      revision = static_cast<uint64_t>(*number);
    } else if (parameter.name == "wait") {
      if (parameter.value != "all-terminated") return bad_parameter(parameter, "must be all-terminated");
      wait = true;
    } else if (parameter.name == "timeout") {
      TRY(read_timeout(parameter, deadline));
    } else {
      warn_of_parameter(parameter, response);
    }
  }
  if (watch && wait) return invalid("watch and wait do not go together");
  if (watch) {
    watches_->watch(ticket, revision, response);
    return {};
  }
  const Task* unfinished = wait ? manager_->find_unfinished() : nullptr;
  if (unfinished != nullptr) {
    response.when = HttpResponse::When::kLongPoll;
    response.poll_deadline = deadline;
    polls_[ticket] = {unfinished->sequence, true};
    return {};
  }
  answer_list(response);
  return {};
}

// With the revision from which a watch goes on behind this list.
void TaskApi::answer_list(HttpResponse& response) const {
  response.add_header("Task-List-Revision", std::to_string(watches_->revision()));
  answer_with_list(*manager_, response);
}

Result<void> TaskApi::read_timeout(const QueryParameter& parameter, MonoNanos& deadline) const {
  const std::optional<int64_t> timeout = parse_duration_ns(parameter.value);
  if (!timeout) return bad_parameter(parameter, "must be a duration, as 30s or 1m30s");
  deadline = *timeout > kNever - clock_.mono() ? kNever : clock_.mono() + *timeout;
  return {};
}

Result<void> TaskApi::get(uint64_t ticket, const HttpRequest& request, const Task& task, HttpResponse& response) {
  bool wait = false;
  MonoNanos deadline = kNever;
  for (const QueryParameter& parameter : TRY(parse_query(request.query))) {
    if (parameter.name == "wait") {
      if (parameter.value != "terminated") return bad_parameter(parameter, "must be terminated");
      wait = true;
    } else if (parameter.name == "timeout") {
      TRY(read_timeout(parameter, deadline));
    } else {
      warn_of_parameter(parameter, response);
    }
  }
  if (wait && task.phase != TaskPhase::kEnded) {
    response.when = HttpResponse::When::kLongPoll;
    response.poll_deadline = deadline;
    polls_[ticket] = {task.sequence, false};
    return {};
  }
  JsonWriter json(response.body);
  write_task(json, task);
  return {};
}

Result<void> TaskApi::logs(uint64_t ticket, const HttpRequest& request, const Task& task, HttpResponse& response) {
  LogQuery query;
  std::optional<QueryParameter> since;
  std::string container;
  for (QueryParameter& parameter : TRY(parse_query(request.query))) {
    const std::string& value = parameter.value;
    if (parameter.name == "stream") {
      if (value == "stdout") {
        query.stream = LogStream::kStdout;
      } else if (value == "stderr") {
        query.stream = LogStream::kStderr;
      } else if (value == "both") {
        query.stream = LogStream::kBoth;
      } else {
        return bad_parameter(parameter, "must be stdout, stderr or both");
      }
    } else if (parameter.name == "tail") {
      query.tail = parse_int(value);
      if (!query.tail || *query.tail < 0) return bad_parameter(parameter, "must be a number of lines");
    } else if (parameter.name == "since") {
      since = std::move(parameter);
    } else if (parameter.name == "follow") {
      const std::optional<bool> follow = parse_bool(value);
      if (!follow) return bad_parameter(parameter, "must be true or false");
      query.follow = *follow;
    } else if (parameter.name == "container") {
      if (task.spec.pod == nullptr) return bad_parameter(parameter, "the task is a process, it has no containers");
      container = std::move(parameter.value);
    } else {
      warn_of_parameter(parameter, response);
    }
  }
  if (task.spec.pod != nullptr) query.cri_file = TRY(log_file_of(task.spec.pod->pod, container));
  if (since) TRY(parse_since(since->value, query));
  if (query.follow) return followers_->follow(ticket, task, query, response);
  // A successor has not been started, so that it has no output; the files under its name are its predecessor's.
  const bool has_files = manager_->find_current(task.name) == &task;
  return serve_logs(options_.data_root, has_files ? task.name : ".next/" + task.name, query, response);
}

void TaskApi::metrics(HttpResponse& response) const {
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  write_metrics(response.body, {*manager_, *server_, readiness_.loop_turns(), readiness_.durable_writes(),
                                readiness_.supervisors(), readiness_.records_watched(), watches_->size(),
                                followers_->size(), options_.build_labels, readiness_.container_runtime()});
}

void TaskApi::ready(HttpResponse& response) {
  const Result<void> ready = readiness_.ready();
  if (!ready) return response.set_error(503, ready.error().text());
  response.body = R"({"status":"ready"})";
}

void TaskApi::on_reply(uint64_t ticket, const Reply& reply) {
  HttpResponse& response = server_->scratch();
  if (const auto kept = warnings_.find(ticket); kept != warnings_.end()) {
    for (const std::string& warning : kept->second) response.add_warning(warning);
    warnings_.erase(kept);
  }
  // More of them would not fit the headers that a client reads.
  const size_t count = std::min(reply.warnings.size(), kMaxWarnings);
  for (size_t i = 0; i < count; ++i) response.add_warning(reply.warnings[i]);
  switch (reply.kind) {
    case Reply::Kind::kCreated:
    case Reply::Kind::kExists: {
      response.status = reply.kind == Reply::Kind::kCreated ? 201 : 200;
      JsonWriter json(response.body);
      write_task(json, *reply.task);
      break;
    }
    case Reply::Kind::kDeleted: response.status = 204; break;
    case Reply::Kind::kSet: answer_with_list(*manager_, response); break;
    case Reply::Kind::kFailed: response.set_error(reply.error); break;
  }
  server_->answer(ticket, response);
}

void TaskApi::on_added(const Task& task) { watches_->add(EventType::kAdded, task); }

void TaskApi::on_changed(const Task& task) {
  watches_->add(EventType::kModified, task);
  if (task.phase == TaskPhase::kEnded) wake_polls(task);
  followers_->on_changed(task);
  server_->wake_some();  // at once: an end is told before the task may be gone
}

void TaskApi::on_gone(const Task& task) {
  watches_->add(EventType::kDeleted, task);
  followers_->on_gone(task);
  wake_polls(task);
}

void TaskApi::wake_polls(const Task& task) {
  for (const auto& [ticket, poll] : polls_) {
    if (poll.task == task.sequence) server_->wake_soon(ticket);
  }
}

bool TaskApi::end_turn() {
  const bool more = watches_->end_turn();
  return server_->end_waking() || more;
}

bool TaskApi::on_poll_woken(uint64_t ticket, HttpResponse& response) {
  Poll& poll = polls_[ticket];
  const Task* task = manager_->find_id(poll.task);
  if (task != nullptr && task->phase != TaskPhase::kEnded) return false;  // an earlier poll of the client was meant
  if (const Task* unfinished = poll.all ? manager_->find_unfinished() : nullptr) {
    poll.task = unfinished->sequence;
    return false;
  }
  on_poll_deadline(ticket, response);
  return true;
}

void TaskApi::on_poll_abandoned(uint64_t ticket) { polls_.erase(ticket); }

void TaskApi::on_poll_deadline(uint64_t ticket, HttpResponse& response) {
  const Poll poll = polls_[ticket];
  polls_.erase(ticket);
  if (poll.all) return answer_list(response);
  const Task* task = manager_->find_id(poll.task);
  if (task == nullptr) return response.set_error(404, "the task has been deleted");
  JsonWriter json(response.body);
  write_task(json, *task);
}

}  // namespace te
