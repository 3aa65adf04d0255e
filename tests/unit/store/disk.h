// A store on a real directory, for its tests.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../support.h"
#include "../task/fakes.h"
#include "store/file_store.h"

namespace te::test {

using Names = std::vector<std::string>;

/// A store on a directory of its own; reopen() is an agent's restart.
struct Disk {
  Disk() { open(); }

  void open() {
    Result<std::unique_ptr<FileStore>> opened = FileStore::open(dir.path(), clock, log);
    REQUIRE(opened);
    store = std::move(opened).value();
  }
  void reopen() {
    store.reset();
    open();
  }
  Task make(std::string name, std::string_view command = "run") {
    Task task;
    task.name = std::move(name);
    task.spec = fake::spec_of(command);
    REQUIRE(store->identify(task));
    return task;
  }
  Task create(std::string name, Place place = Place::kLive, std::string_view command = "run") {
    Task task = make(std::move(name), command);
    REQUIRE(fake::create_one(*store, task, place));
    return task;
  }

  /// Tasks as recovery finds them: "name", "-name" for deleting, "name>" for a successor, with "L" locked, "R" run.
  Names found() {
    Result<std::vector<Recovered>> scanned = store->scan();
    REQUIRE(scanned);
    Names out;
    for (const Recovered& one : *scanned) {
      std::string text = one.task->deleting() ? "-" : "";
      text += one.task->name;
      if (one.place == Place::kNext) text += ">";
      if (one.locked) text += " L";
      if (one.has_run) text += " R";
      out.push_back(text);
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string uid(const Task& task) const { return std::string(task.uid.view()); }

  TempDir dir;
  fake::FakeClock clock;
  fake::NullSink sink;
  Log log{sink, clock};
  std::unique_ptr<FileStore> store;
};

inline RunRecord a_run() {
  RunRecord run;
  run.supervisor = {123, 456};
  run.process = {124, 457};
  return run;
}

}  // namespace te::test
