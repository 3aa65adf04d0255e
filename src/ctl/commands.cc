// All commands but run.
#include <algorithm>
#include <array>

#include "base/size.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "sys/clock.h"
#include "sys/fs.h"
#include "sys/net.h"
#include "sys/self.h"

namespace te::ctl {

namespace {

constexpr uint32_t kMany = 1'000'000;
constexpr int kStdin = 0;
constexpr int kStdout = 1;

int print_tasks(const Options& options, const std::string& json) {
  if (options.output == Output::kJson) return print(json + "\n") ? 0 : kFailed;
  const Result<std::vector<TaskRow>> rows = read_rows(json);
  if (!rows) return fail(rows.error());
  std::string text;
  if (options.output == Output::kName) {
    for (const TaskRow& row : *rows) text.append(row.name).append("\n");
  } else {
    text = task_table(*rows);
  }
  return print(text) ? 0 : kFailed;
}

/// Asks, and gives a good answer to `use`.
template <class Use>
int with_answer(const Options& options, std::string_view method, std::string_view target, std::string_view body,
                Use use) {
  const Result<Server> server = server_of(options);
  if (!server) return fail(server.error());
  const Result<Answer> answer = ask(*server, method, target, body);
  if (!answer) return fail(answer.error());
  return answer->ok() ? use(*answer) : fail(*answer);
}

int list(const Options& options) {
  return with_answer(options, "GET", "/tasks", {},
                     [&](const Answer& answer) { return print_tasks(options, answer.body); });
}

// Several tasks as JSON are an array; one is itself.
int get(const Options& options) {
  std::string all;
  for (const std::string& name : options.words) {
    const int status = with_answer(options, "GET", task_path(name), {}, [&](const Answer& answer) {
      all.append(all.empty() ? "" : ",").append(answer.body);
      return 0;
    });
    if (status != 0) return status;
  }
  return print_tasks(options, options.words.size() == 1 ? all : "[" + all + "]");
}

/// A body as it comes, to `use`; false from there ends it.
template <class Use>
int stream(const Options& options, const std::string& target, Use use) {
  const Result<Server> server = server_of(options);
  if (!server) return fail(server.error());
  Result<Exchange> exchange = Exchange::open(*server, "GET", target);
  if (!exchange) return fail(exchange.error());
  Answer answer;
  while (!exchange->response().done()) {
    sys::Awaited awaited{exchange->fd(), exchange->wants_write()};
    if (const Result<bool> ready = sys::wait_ready({&awaited, 1}, kNever); !ready) return fail(ready.error());
    const Result<void> moved = exchange->advance(answer.body);
    if (exchange->response().head_complete() && exchange->response().status() == 200) {
      if (!use(answer.body)) return kFailed;
    }
    if (!moved) return fail(moved.error());
  }
  answer.status = exchange->response().status();
  return answer.ok() ? 0 : fail(answer);
}

int logs(const Options& options) {
  std::string target = task_path(options.words[0], "/logs?");
  const auto add = [&](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    target.append(name).append("=");
    append_escaped(target, value);
    target += '&';
  };
  add("stream", options.stream);
  add("tail", options.tail);
  add("since", options.since);
  if (options.follow) add("follow", "true");
  target.pop_back();
  return stream(options, target, [](std::string& body) {
    const bool taken = print(body);
    body.clear();
    return taken;
  });
}

int watch(const Options& options) {
  std::string target = "/tasks?watch=true";
  if (!options.revision.empty()) target.append("&revision=").append(options.revision);
  bool failed = false;
  const int status = stream(options, target, [&](std::string& body) {
    const size_t end = body.rfind('\n');
    if (end == std::string::npos) return true;
    std::string lines = body.substr(0, end + 1);
    body.erase(0, end + 1);
    if (options.output == Output::kJson) return print(lines);
    std::string text;
    for (size_t at = 0; at < lines.size();) {
      const size_t next = lines.find('\n', at) + 1;
      std::string line = lines.substr(at, next - at - 1);
      at = next;
      const size_t size = line.size();
      line.append(kJsonPadding, '\0');
      std::string type;
      TaskRow row;
      JsonParser parser;
      const Result<void> read = parser.parse({line.data(), size}, kJsonOwnDepth, [&](JsonValue& root) {
        return root.object([&](std::string_view name, JsonValue& value) -> Result<void> {
          if (name == "type") type = TRY(value.string());
          if (name == "object") row = TRY(read_row(value));
          return {};
        });
      });
      if (!read || type == "ERROR") {
        complain(read ? "the agent has ended the watch: " + line.substr(0, size) : read.error().text());
        failed = true;
        return false;
      }
      if (type == "BOOKMARK") continue;
      if (options.output == Output::kName) {
        text.append(row.name).append("\n");
        continue;
      }
      text.append(type).append(10 - std::min<size_t>(9, type.size()), ' ').append(row.name).append(" ");
      text.append(row.deleting ? row.state + ",deleting" : row.state);
      if (!row.reason.empty()) text.append(" ").append(row.reason);
      if (row.exit_code) text.append(" ").append(std::to_string(*row.exit_code));
      text += '\n';
    }
    return print(text);
  });
  return failed ? kFailed : status;
}

bool all_ended(const std::string& json) {
  const Result<std::vector<TaskRow>> rows = read_rows(json);
  return !rows || std::ranges::all_of(*rows, &TaskRow::ended);
}

/// "wait=terminated&timeout=5000ms", with what is left until then.
std::string wait_parameters(std::string_view condition, MonoNanos deadline) {
  std::string text("?wait=");
  text += condition;
  if (deadline == kNever) return text;
  text += "&timeout=";
  append_int(text, std::max<MonoNanos>(deadline - sys::mono_now(), kMillisecond) / kMillisecond);
  return text += "ms";
}

/// What is behind `path` when all of it has ended, or the time is over; appended to a list. An agent that is being
/// replaced answers too early, or not at all for a while; one that is frozen, never.
int await_end(const Options& options, const std::string& path, std::string_view condition, MonoNanos deadline,
              std::string& out) {
  const MonoNanos answer_by = deadline == kNever ? kNever : deadline + kSecond;
  std::string found;
  MonoNanos unwell_since = kNever;
  for (;;) {
    // A look first, so that a wrong name is told at once, and by the very first one a wrong address.
    const bool looks = found.empty();
    const std::string target = looks ? path : path + wait_parameters(condition, deadline);
    const Result<Server> server = server_of(options);
    const Result<Answer> answer =
        server ? ask(*server, "GET", target, {}, -1, answer_by) : Result<Answer>(server.error());
    const bool unwell = !answer || answer->status == 503 || answer->status == 507;
    const MonoNanos now = sys::mono_now();
    if (!unwell && !answer->ok()) return fail(*answer);
    unwell_since = unwell ? std::min(unwell_since, now) : kNever;
    const bool too_late = !answer && answer.error().code == ETIMEDOUT && now >= deadline;
    const bool first = looks && out.empty();
    if (unwell && !too_late && (first || now - unwell_since > kReplacePatience)) {
      return answer ? fail(*answer) : fail(answer.error());
    }
    if (!unwell) found = answer->body;
    if ((!unwell && all_ended(found)) || now >= deadline) break;
    if (unwell || !looks) (void)sys::wait_ready({}, std::min(deadline, now + kRetryInterval)).ok();
  }
  if (found.empty()) return kTimedOut;
  out.append(out.empty() ? "" : ",").append(found);
  return 0;
}

// With one task the exit status is the task's own, as wait(1) of a shell has it.
int wait(const Options& options) {
  const auto own = [](int status) { return status == kNotFound || status == kTimedOut ? status : kOwnFailure; };
  std::string all;
  const bool whole_list = options.words.empty();
  if (whole_list != options.all) {
    complain("name the tasks, or say --all");
    return kUsage;
  }
  const MonoNanos deadline = options.timeout ? sys::mono_now() + *options.timeout : kNever;
  if (whole_list) {
    const int status = await_end(options, "/tasks", "all-terminated", deadline, all);
    if (status != 0) return own(status);
  }
  for (const std::string& name : options.words) {
    const int status = await_end(options, task_path(name), "terminated", deadline, all);
    if (status != 0) return own(status);
  }
  const std::string json = whole_list ? all : "[" + all + "]";
  const Result<std::vector<TaskRow>> rows = read_rows(json);
  if (!rows) return own(fail(rows.error()));
  if (options.output != Output::kTable) (void)print_tasks(options, options.words.size() == 1 ? all : json);
  int worst = 0;
  for (const TaskRow& row : *rows) {
    if (!row.ended()) return kTimedOut;
    tell_end(row);
    const int code = exit_status(row);
    if (code != 0) worst = rows->size() == 1 ? code : kFailed;
  }
  return worst;
}

int remove(const Options& options) {
  if (options.words.empty() != options.all) {
    complain("name the tasks, or say --all");
    return kUsage;
  }
  if (options.all) {
    return with_answer(options, "POST", "/setTasks", "[]", [](const Answer&) { return 0; });
  }
  int worst = 0;
  for (const std::string& name : options.words) {
    const int status = with_answer(options, "DELETE", task_path(name), {}, [&](const Answer&) {
      return options.output != Output::kName || print(name + "\n") ? 0 : kFailed;
    });
    worst = std::max(worst, status);
  }
  return worst;
}

Result<std::string> read_input(const Options& options) {
  constexpr size_t kMost = 64 * kMiB;
  if (options.file.empty()) return invalid("-f FILE is missing");
  if (options.file == "-") return sys::read_stream(kStdin, kMost);
  const Fd file = TRY(sys::open_at(AT_FDCWD, options.file, O_RDONLY));
  return sys::read_stream(file.get(), kMost);
}

int apply_one(const Options& options, std::string_view task) {
  return with_answer(options, "POST", "/tasks", task, [&](const Answer& answer) {
    if (options.output != Output::kTable) return print_tasks(options, answer.body);
    const Result<std::vector<TaskRow>> rows = read_rows(answer.body);
    if (!rows) return fail(rows.error());
    for (const TaskRow& row : *rows) (void)print(row.name + (answer.status == 201 ? " created\n" : " unchanged\n"));
    return 0;
  });
}

int apply(const Options& options) {
  const Result<std::string> text = read_input(options);
  if (!text) {
    complain(text.error().text());
    return kUsage;
  }
  std::string padded = *text;
  padded.append(kJsonPadding, '\0');
  bool is_array = false;
  JsonParser parser;
  const Result<void> valid = parser.parse({padded.data(), text->size()}, [&](JsonValue& root) -> Result<void> {
    is_array = root.type() == JsonType::kArray;
    return is_array || root.type() == JsonType::kObject ? Result<void>() : root.error("must be a task or an array");
  });
  if (!valid) {
    complain(options.file + ": " + valid.error().text());
    return kFailed;
  }
  if (options.prune) {
    const std::string body = is_array ? *text : "[" + *text + "]";
    return with_answer(options, "POST", "/setTasks", body,
                       [&](const Answer& answer) { return print_tasks(options, answer.body); });
  }
  if (!is_array) return apply_one(options, *text);
  int worst = 0;
  for (const std::string_view task : array_elements(*text)) worst = std::max(worst, apply_one(options, task));
  return worst;
}

int health(const Options& options) {
  const Result<Server> server = server_of(options);
  if (!server) return fail(server.error());
  int worst = 0;
  for (const std::string_view path : {"/health", "/readyz"}) {
    const Result<Answer> answer = ask(*server, "GET", path);
    if (!answer) return fail(answer.error());
    if (!answer->ok()) worst = kFailed;
    (void)print(std::string(path) + ": " + (answer->ok() ? "ok" : error_message(answer->body)) + "\n");
  }
  return worst;
}

/// The value of a sample in Prometheus' text format.
std::string_view sample(std::string_view metrics, std::string_view name) {
  for (size_t at = metrics.find(name); at != std::string_view::npos; at = metrics.find(name, at + 1)) {
    const bool begins = at == 0 || metrics[at - 1] == '\n';
    const size_t end = at + name.size();
    if (!begins || end >= metrics.size() || metrics[end] != ' ') continue;
    return metrics.substr(end + 1, metrics.find('\n', end) - end - 1);
  }
  return "0";
}

int show_top(const std::string& tasks, const std::string& metrics) {
  Result<std::vector<TaskRow>> rows = read_rows(tasks);
  if (!rows) return fail(rows.error());
  std::array<int64_t, 3> counts{};
  std::vector<TaskRow> running;
  for (TaskRow& row : *rows) {
    const size_t kind = row.state == "waiting" ? 0 : row.state == "running" ? 1 : 2;
    ++counts[kind];
    if (kind == 1) running.push_back(std::move(row));
  }
  std::string text;
  if (sys::is_terminal(kStdout)) text += "\033[H\033[2J";
  const auto say = [&](std::string_view label, std::string_view value) {
    text.append(label).append(" ").append(value);
  };
  say("tasks:", std::to_string(rows->size()));
  say(", waiting", std::to_string(counts[0]));
  say(", running", std::to_string(counts[1]));
  say(", terminated", std::to_string(counts[2]));
  say("\nsupervisors:", sample(metrics, "task_executor_supervisors"));
  say(", leftover processes", sample(metrics, "task_executor_leftover_processes"));
  say(", connections", sample(metrics, "task_executor_http_connections"));
  const int64_t resident = parse_int(sample(metrics, "process_resident_memory_bytes")).value_or(0);
  say("\nagent: memory", std::to_string(resident / static_cast<int64_t>(kKiB)));
  say("KiB, processor", sample(metrics, "process_cpu_seconds_total"));
  say("s, turns", sample(metrics, "task_executor_loop_turn_seconds_count"));
  text += "\n\n";
  Table table({"NAME", "PID", "STARTED"});
  for (const TaskRow& row : running) {
    table.add({row.name, row.pid != 0 ? std::to_string(row.pid) : "", row.started});
  }
  text += table.text();
  return print(text) ? 0 : kFailed;
}

int top(const Options& options) {
  for (int64_t round = 1;; ++round) {
    std::string tasks;
    int status = with_answer(options, "GET", "/tasks", {}, [&](const Answer& answer) {
      tasks = answer.body;
      return 0;
    });
    if (status != 0) return status;
    status =
        with_answer(options, "GET", "/metrics", {}, [&](const Answer& answer) { return show_top(tasks, answer.body); });
    if (status != 0 || round == options.count) return status;
    (void)sys::wait_ready({}, sys::mono_now() + options.interval).ok();
  }
}

int version(const Options& options) {
  return with_answer(options, "GET", "/version", {},
                     [](const Answer& answer) { return print(answer.body + "\n") ? 0 : kFailed; });
}

int completion(const Options& options) {
  if (options.words[0] != "bash") {
    complain("there is a completion for bash only");
    return kUsage;
  }
  return print(bash_completion()) ? 0 : kFailed;
}

int help(const Options& options) {
  if (options.words.empty()) return print(help_text()) ? 0 : kFailed;
  const Command* command = find_command(options.words[0]);
  if (command == nullptr) {
    complain("there is no command \"" + options.words[0] + "\"");
    return kUsage;
  }
  return print(help_text(*command)) ? 0 : kFailed;
}

constexpr uint32_t kAsk = kServerFlags | kOutputFlag;

constexpr std::array kCommands = {
    Command{"run", "-- COMMAND [ARGUMENT]...", "run a command as a task, with its output and exit status",
            kServerFlags | kRunFlags | kTimeoutFlag, 0, 0, false, run_task},
    Command{"list", "", "all tasks", kAsk, 0, 0, false, list},
    Command{"get", "NAME...", "some tasks", kAsk, 1, kMany, true, get},
    Command{"logs", "NAME", "what a task has written", kServerFlags | kLogFlags, 1, 1, true, logs},
    Command{"wait", "NAME... | --all", "wait for the end; exits as the task did", kAsk | kTimeoutFlag | kAllFlag, 0,
            kMany, true, wait},
    Command{"delete", "NAME... | --all", "stop and remove tasks", kAsk | kAllFlag, 0, kMany, true, remove},
    Command{"apply", "-f FILE", "create the tasks of a file", kAsk | kApplyFlags, 0, 0, false, apply},
    Command{"watch", "", "every change of a task, as it happens", kAsk | kWatchFlags, 0, 0, false, watch},
    Command{"health", "", "whether the agent lives and takes tasks", kServerFlags, 0, 0, false, health},
    Command{"top", "", "the running tasks and the agent, again and again", kServerFlags | kTopFlags, 0, 0, false, top},
    Command{"version", "", "the agent's build", kServerFlags, 0, 0, false, version},
    Command{"completion", "bash", "completion for the shell", 0, 1, 1, false, completion},
    Command{"help", "[COMMAND]", "this text, or the flags of a command", 0, 0, 1, false, help},
};

}  // namespace

namespace {

bool is_server_flag(std::string_view word) {
  return word == "-s" || word == "--server" || word == "--token-file" || word.starts_with("--server=") ||
         word.starts_with("--token-file=");
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int run_taskctl(int argc, const char* const* argv) {
  sys::take_standard_fds();
  const std::span<const char* const> words(argv, static_cast<size_t>(argc));
  if (words.size() < 2) {
    (void)sys::write_all(2, help_text()).ok();
    return kUsage;
  }
  // Flags that stand before the command are about the server: each has a value.
  std::vector<const char*> rest;
  size_t at = 1;
  for (; at + 1 < words.size() && is_server_flag(words[at]); ++at) {
    rest.push_back(words[at]);
    if (std::string_view(words[at]).find('=') == std::string_view::npos) rest.push_back(words[++at]);
  }
  if (at >= words.size()) at = words.size() - 1;
  std::string_view name = words[at];
  if (name == "--help" || name == "-h") name = "help";
  if (name == "--version") name = "version";
  const Command* command = find_command(name);
  if (command == nullptr) {
    // A flag with its value would have been passed by.
    const bool is_flag = is_server_flag(name) && name.find('=') == std::string_view::npos;
    complain(is_flag ? std::string(name) + ": needs a value"
                     : "there is no command \"" + std::string(name) + "\" (see taskctl help)");
    return kUsage;
  }
  for (size_t i = at + 1; i < words.size() && std::string_view(words[i]) != "--"; ++i) {
    const std::string_view word = words[i];
    if (word == "--help" || word == "-h") return print(help_text(*command)) ? 0 : kFailed;
  }
  rest.insert(rest.end(), words.begin() + static_cast<ptrdiff_t>(at + 1), words.end());
  const Result<Options> options = read_options(*command, rest);
  if (!options) {
    complain(options.error().context);
    return kUsage;
  }
  if ((command->flags & kServerFlags) != 0) {
    if (const Result<Server> server = server_of(*options); !server) {
      complain(server.error().text());
      return kUsage;
    }
  }
  return command->run(*options);
}

}  // namespace te::ctl
