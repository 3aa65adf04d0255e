#include "app/offline.h"

#include <unistd.h>

#include <string>

#include "base/size.h"
#include "base/text.h"
#include "codec/task_json.h"
#include "store/inspect.h"
#include "sys/fs.h"
#include "sys/process.h"
#include "task/status.h"
#include "wire/json_writer.h"

namespace te {

namespace {

void print(int fd, std::string_view text) { (void)sys::write_all(fd, text).ok(); }

std::string describe(const Task& task) {
  const Status status = status_of(task);
  switch (status.state) {
    case StateKind::kWaiting: return "not started";
    case StateKind::kRunning: return "running when last seen";
    case StateKind::kTerminated: break;
  }
  return "ended, " + std::string(status.reason) + " with " + std::to_string(status.exit_code);
}

// One line a task, its problems indented below it.
size_t print_check(const Inspection& found) {
  std::string text;
  size_t problems = found.problems.size();
  for (const Finding& finding : found.findings) {
    text += finding.name;
    if (finding.place == Place::kNext) text += " (successor)";
    text.append(": ").append(finding.task ? describe(*finding.task) : "unreadable");
    text.append("; ").append(finding.recovery).append("\n");
    for (const std::string& problem : finding.problems) text.append("    ").append(problem).append("\n");
    problems += finding.problems.size();
  }
  for (const std::string& problem : found.problems) text.append(problem).append("\n");
  const auto count = [&](size_t number, std::string_view what) {
    if (number == 0) return;
    append_int(text, static_cast<int64_t>(number));
    text.append(what).append("\n");
  };
  count(found.unfinished, " creations that were never answered; thrown away");
  count(found.trash, " deleted tasks in the trash; thrown away");
  count(found.quarantined, " entries in the quarantine; left there");
  append_int(text, static_cast<int64_t>(found.findings.size()));
  text += " tasks, ";
  append_int(text, static_cast<int64_t>(problems));
  text += " problems\n";
  print(STDOUT_FILENO, text);
  return problems;
}

size_t print_dump(const Inspection& found) {
  std::string text;
  JsonWriter json(text);
  size_t problems = found.problems.size();
  json.begin_array();
  for (const Finding& finding : found.findings) {
    json.begin_object().key("name").string(finding.name);
    json.key("place").string(finding.place == Place::kLive ? "live" : "next");
    if (finding.task) {
      json.key("uid").string(finding.task->uid.view());
      json.key("sequence").number(static_cast<int64_t>(finding.task->sequence)).key("task");
      write_task(json, *finding.task);
    }
    json.key("supervised").boolean(finding.supervised).key("recovery").string(finding.recovery);
    json.key("problems").begin_array();
    for (const std::string& problem : finding.problems) json.string(problem);
    json.end_array().end_object();
    problems += finding.problems.size();
  }
  json.end_array();
  print(STDOUT_FILENO, text + "\n");
  return problems;
}

}  // namespace

bool is_offline_command(std::string_view word) { return word == "fsck" || word == "dump"; }

namespace {

Result<void> install(const std::string& path) {
  const Fd self = TRY(sys::open_self());
  const std::string temporary = path + ".new";
  const Fd file = TRY(sys::open_at(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0755));
  std::string piece(64 * kKiB, '\0');
  for (int64_t at = 0;;) {
    const size_t size = TRY(sys::read_at(self.get(), piece.data(), piece.size(), at));
    if (size == 0) break;
    TRY(sys::write_all(file.get(), std::string_view(piece).substr(0, size)));
    at += static_cast<int64_t>(size);
  }
  return sys::rename_at(AT_FDCWD, temporary, AT_FDCWD, path);
}

}  // namespace

int run_install(int argc, const char* const* argv) {
  if (argc != 3) {
    print(STDERR_FILENO, "Usage: task-executor install FILE\n");
    return 2;
  }
  const Result<void> installed = install(argv[2]);
  if (installed) return 0;
  print(STDERR_FILENO, "task-executor: " + installed.error().text() + "\n");
  return 1;
}

int run_offline(std::string_view command, const Config& config) {
  const Result<Inspection> found = inspect_store(config.data_dir, config.manager.on_lost);
  if (!found) {
    print(STDERR_FILENO, "task-executor: " + found.error().text() + "\n");
    return 1;
  }
  if (found->agent_runs) {
    print(STDERR_FILENO, "task-executor: an agent uses this directory: it changes while it is looked at\n");
  }
  const size_t problems = command == "fsck" ? print_check(*found) : print_dump(*found);
  return problems == 0 ? 0 : 1;
}

}  // namespace te
