#include "store/inspect.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include "store/record_files.h"
#include "sys/fs.h"

namespace te {

namespace {

class Inspector {
 public:
  explicit Inspector(OnLost on_lost) : on_lost_(on_lost) {}
  Result<Inspection> run(std::string_view data_dir);

 private:
  Result<void> look_into(int folder, Place place);
  void look_at(int dir, Finding& finding);
  bool read_identity(int dir, Finding& finding);
  void read_records(int dir, Finding& finding);
  void find_copies();
  void predict(Finding& finding) const;
  std::string predict_lost(const Task& task) const;
  size_t count(int root, std::string_view folder);

  /// Nothing when the file is not there; what is wrong with it becomes a problem.
  template <class T>
  std::optional<T> read(int dir, std::string_view file, Result<T> (*reads)(RecordReader&, int, std::string_view),
                        Finding& finding);

  OnLost on_lost_;
  Inspection out_;
  RecordReader reader_;
};

template <class T>
std::optional<T> Inspector::read(int dir, std::string_view file,
                                 Result<T> (*reads)(RecordReader&, int, std::string_view), Finding& finding) {
  Result<T> value = reads(reader_, dir, file);
  if (value) return std::move(value).value();
  if (value.error().code == ENOENT) return std::nullopt;
  finding.problems.push_back(std::string(file) + ": " + value.error().text());
  return std::nullopt;
}

bool Inspector::read_identity(int dir, Finding& finding) {
  const bool deleted = sys::exists_at(dir, "deleted.json");
  const std::string_view file = deleted ? "deleted.json" : "task.json";
  std::optional<TaskFile> state = read<TaskFile>(dir, file, read_task_file, finding);
  if (!state && finding.problems.empty()) finding.problems.emplace_back("task.json: it is not there");
  if (state && state->name != finding.name) {
    finding.problems.push_back(std::string(file) + ": it is the task \"" + state->name + "\"'s");
    state.reset();
  }
  if (!state) return false;
  auto task = std::make_unique<Task>();
  task->name = std::move(state->name);
  task->uid = state->uid;
  task->sequence = state->sequence;
  task->accepted_at = state->accepted_at;
  task->spec = std::move(state->spec);
  if (deleted) {
    const Result<WallMicros> marked = sys::change_time_at(dir, file);
    task->deleted_at = marked ? *marked : 1;
  }
  finding.task = std::move(task);
  return true;
}

void Inspector::read_records(int dir, Finding& finding) {
  Task& task = *finding.task;
  finding.ran = sys::exists_at(dir, "run.json") || sys::exists_at(dir, "exit.json");
  if (const std::optional<RunRecord> run = read<RunRecord>(dir, "run.json", read_run_file, finding)) {
    task.run = *run;
    task.attempt = run->attempt;
    task.phase = run->execed_at != 0 ? TaskPhase::kRunning : TaskPhase::kStarting;
  }
  if (std::optional<ExitRecord> end = read<ExitRecord>(dir, "exit.json", read_exit_file, finding)) {
    task.end = std::make_unique<ExitRecord>(std::move(*end));
    task.phase = TaskPhase::kEnded;
  } else if (!sys::exists_at(dir, "exit.json") && !sys::exists_at(dir, "exit.tmp")) {
    finding.problems.emplace_back("exit.tmp: the space for the end is not there");
  }
}

void Inspector::look_at(int dir, Finding& finding) {
  if (!read_identity(dir, finding)) return;
  read_records(dir, finding);
  if (out_.agent_runs || finding.place == Place::kNext) return;
  const Task& task = *finding.task;
  if (task.spec.pod != nullptr) {  // it has the agent for a supervisor
    finding.supervised = finding.ran && !(task.run.pod && task.run.pod->step == PodStep::kRemoved);
    return;
  }
  const Result<bool> free = sys::try_flock(dir);  // given back with the descriptor
  finding.supervised = free && !*free;
}

Result<void> Inspector::look_into(int folder, Place place) {
  for (const sys::DirEntry& entry : TRY(sys::list_dir(folder))) {
    if (entry.name.starts_with('.') || entry.name == "lost+found") continue;
    Finding& finding = out_.findings.emplace_back();
    finding.name = entry.name;
    finding.place = place;
    const Result<Fd> dir = sys::open_dir_at(folder, entry.name);
    if (dir) {
      look_at(dir->get(), finding);
    } else {
      finding.problems.push_back(entry.is_dir ? dir.error().text() : "not a directory");
    }
  }
  return {};
}

// A copied directory is a second task with the same identity; recovery keeps the first one that it sees, and looks in
// the same order as we.
void Inspector::find_copies() {
  std::map<std::string_view, const Finding*> by_uid;
  for (Finding& finding : out_.findings) {
    if (!finding.task) continue;
    const auto [first, is_new] = by_uid.emplace(finding.task->uid.view(), &finding);
    if (is_new) continue;
    finding.problems.push_back("a copy of \"" + first->second->name + "\"");
    finding.recovery = "put into quarantine";
  }
}

std::string Inspector::predict_lost(const Task& task) const {
  OnLost what = on_lost_;
  if (what == OnLost::kAuto) what = task.spec.form == WireForm::kController ? OnLost::kForget : OnLost::kFail;
  std::string text = "lost: what is left of it is killed, then it ";
  switch (what) {
    case OnLost::kAuto:
    case OnLost::kFail: return text.append("ends as Lost");
    case OnLost::kForget: return text.append("is removed");
    case OnLost::kRestart: return text.append("is run again");
  }
  return text;
}

void Inspector::predict(Finding& finding) const {
  if (!finding.task) {
    finding.recovery = "put into quarantine";
    return;
  }
  const Task& task = *finding.task;
  if (finding.place == Place::kNext) {
    const auto current = std::ranges::find_if(out_.findings, [&](const Finding& other) {
      return other.task && other.place == Place::kLive && other.name == finding.name;
    });
    if (current == out_.findings.end()) {
      finding.recovery = "takes its name and is started";
    } else if (current->task->deleting()) {
      finding.recovery = "started when its predecessor is gone";
    } else {
      finding.recovery = "removed: its creation was never answered";
    }
  } else if (task.deleting()) {
    finding.recovery = finding.supervised ? "stopped and removed" : "removed";
  } else if (finding.supervised) {
    finding.recovery = task.phase == TaskPhase::kEnded ? "kept, and what it has left running" : "taken up as it runs";
  } else if (task.phase == TaskPhase::kEnded) {
    finding.recovery = "kept as it ended";
  } else if (finding.ran) {
    finding.recovery = out_.agent_runs ? "taken up, if its supervisor lives" : predict_lost(task);
  } else {
    finding.recovery = "started";
  }
}

size_t Inspector::count(int root, std::string_view folder) {
  const Result<Fd> dir = sys::open_dir_at(root, folder);
  if (!dir) {
    if (dir.error().code != ENOENT) out_.problems.push_back(dir.error().text());
    return 0;
  }
  const Result<std::vector<sys::DirEntry>> entries = sys::list_dir(dir->get());
  return entries ? entries->size() : 0;
}

Result<Inspection> Inspector::run(std::string_view data_dir) {
  const Fd root = TRY(sys::open_at(AT_FDCWD, data_dir, O_RDONLY | O_DIRECTORY));
  if (const Result<Fd> lock = sys::open_at(root.get(), ".lock", O_RDONLY | O_NOFOLLOW)) {
    out_.agent_runs = TRY(sys::record_locked(lock->get()));
  }
  TRY(look_into(root.get(), Place::kLive));
  if (const Result<Fd> next = sys::open_dir_at(root.get(), ".next")) TRY(look_into(next->get(), Place::kNext));
  out_.unfinished = count(root.get(), ".new");
  out_.trash = count(root.get(), ".trash");
  out_.quarantined = count(root.get(), ".quarantine");
  find_copies();
  for (Finding& finding : out_.findings) {
    if (finding.recovery.empty()) predict(finding);
  }
  std::sort(out_.findings.begin(), out_.findings.end(), [](const Finding& a, const Finding& b) {
    const uint64_t left = a.task ? a.task->sequence : 0;
    const uint64_t right = b.task ? b.task->sequence : 0;
    return left != right ? left < right : a.name < b.name;
  });
  return std::move(out_);
}

}  // namespace

Result<Inspection> inspect_store(std::string_view data_dir, OnLost on_lost) { return Inspector(on_lost).run(data_dir); }

}  // namespace te
