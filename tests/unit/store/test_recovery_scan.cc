// What recovery finds in a data directory (store/recovery_scan.cc).
#include <set>

#include "../support.h"
#include "../task/fakes.h"
#include "codec/state_file.h"
#include "disk.h"
#include "sys/process.h"

using namespace te;
using test::a_run;
using test::Disk;
using test::Names;
using test::Tidy;

TEST_CASE_FIXTURE(Tidy, "scan: what a crash has left of a creation goes to the trash") {
  Disk disk;
  const Task task = disk.create("t");
  // Before the rename: complete or not.
  disk.dir.make_dir(".new/0123456789abcdef0123456789abcdef");
  disk.dir.write(".new/0123456789abcdef0123456789abcdef/exit.tmp", "");
  disk.reopen();
  CHECK(disk.found() == Names{"t"});
  CHECK(disk.dir.names(".new").empty());
  CHECK(disk.dir.names(".trash") == Names{"0123456789abcdef0123456789abcdef"});
  CHECK(disk.dir.names(".quarantine").empty());
}

TEST_CASE_FIXTURE(Tidy, "scan: what a crash has left of a replaced successor is rubbish, the new one counts") {
  Disk disk;
  Task old = disk.create("t");
  REQUIRE(disk.store->mark_deleted(old));
  const Task first = disk.create("t", Place::kNext);
  Task second = disk.make("t");
  REQUIRE(disk.store->replace_next(second, first));
  // The crash came between the exchange and the move to the trash.
  REQUIRE(sys::rename_at(disk.dir.fd(), ".trash/" + disk.uid(first), disk.dir.fd(), ".new/" + disk.uid(second)));
  disk.reopen();
  CHECK(disk.found() == Names{"-t", "t>"});
  CHECK(disk.dir.names(".trash").size() == 1);
  CHECK(disk.dir.names(".quarantine").empty());
}

TEST_CASE_FIXTURE(Tidy, "scan: rubbish finds its way into a trash that has the same name already") {
  Disk disk;
  for (const std::string folder : {".new", ".trash"}) {
    disk.dir.make_dir(folder + "/0123456789abcdef0123456789abcdef");
    disk.dir.write(folder + "/0123456789abcdef0123456789abcdef/task.json", "");
  }
  disk.reopen();
  CHECK(disk.found().empty());
  CHECK(disk.dir.names(".new").empty());
  CHECK(disk.dir.names(".trash").size() == 2);
}

TEST_CASE_FIXTURE(Tidy, "scan: a successor whose predecessor is in the trash already is found where it waits") {
  Disk disk;
  Task old = disk.create("t");
  REQUIRE(disk.store->mark_deleted(old));
  const Task next = disk.create("t", Place::kNext);
  REQUIRE(disk.store->discard(old, Place::kLive));
  disk.reopen();
  CHECK(disk.found() == Names{"t>"});
  CHECK(disk.store->promote(next));
  CHECK(disk.found() == Names{"t"});
}

TEST_CASE_FIXTURE(Tidy, "scan: a marked task stays marked even if its first file is there again") {
  Disk disk;
  Task task = disk.create("t");
  const std::string text = disk.dir.read("t/task.json");
  REQUIRE(disk.store->mark_deleted(task));
  disk.dir.write("t/task.json", text);
  CHECK(disk.found() == Names{"-t"});
}

TEST_CASE_FIXTURE(Tidy, "scan: a run record is seen even if nobody can read it") {
  Disk disk;
  const Task task = disk.create("t");
  disk.dir.write("t/run.json", "rubbish");
  disk.reopen();
  CHECK(disk.found() == Names{"t R"});
  CHECK(!disk.store->read_run(task));
}

TEST_CASE_FIXTURE(Tidy, "scan: what is not ours or can't be read goes to the quarantine and blocks no name") {
  Disk disk;
  disk.create("good");
  disk.dir.write("a_file", "what is this");
  disk.dir.make_dir("empty");
  disk.dir.make_dir("broken");
  disk.dir.write("broken/task.json", "{");
  disk.dir.make_dir("pipe");
  REQUIRE(::mkfifoat(disk.dir.fd(), "pipe/task.json", 0600) == 0);
  disk.dir.make_dir("lost+found");
  disk.dir.make_dir(".snapshot");
  disk.dir.make_dir(".next/broken");
  REQUIRE(::symlinkat("/etc", disk.dir.fd(), "link") == 0);
  disk.reopen();
  CHECK(disk.found() == Names{"good"});
  CHECK(disk.dir.names(".quarantine") == Names{"a_file", "broken", "broken.1", "empty", "link", "pipe"});
  CHECK(disk.dir.has("lost+found"));
  CHECK(disk.dir.has(".snapshot"));
  disk.create("broken");
  disk.create("empty");
  CHECK(disk.found() == Names{"broken", "empty", "good"});
}

TEST_CASE_FIXTURE(Tidy,
                  "scan: what can't be read and still runs is told to stop, and keeps its name until it has gone") {
  Disk disk;
  disk.create("t");
  const test::Program supervisor({"/bin/sleep", "600"});
  RunRecord run = a_run();
  run.supervisor = sys::read_stat(supervisor.pid())->id;
  disk.dir.write("t/run.json", encode_run(run));
  disk.dir.write("t/task.json", "{");
  Result<Fd> lock = sys::open_dir_at(disk.dir.fd(), "t");
  REQUIRE(*sys::try_flock(lock->get()));
  disk.reopen();
  CHECK(disk.found().empty());
  CHECK(test::end_of(supervisor.pidfd()).status == SIGUSR1);
  CHECK(disk.dir.names(".quarantine").empty());
  Task again = disk.make("t");
  CHECK(fake::create_one(*disk.store, again, Place::kLive).error().code == EWOULDBLOCK);
  CHECK(disk.dir.names(".new").empty());
  CHECK(!disk.store->clear_way("t"));
  CHECK(!disk.store->clear_way({}));
  CHECK(disk.store->clear_way("other"));
  lock->reset();
  CHECK(disk.store->clear_way({}));
  CHECK(disk.dir.names(".quarantine") == Names{"t"});
  disk.create("t");
  CHECK(disk.store->clear_way("t"));
  CHECK(disk.found() == Names{"t"});
}

TEST_CASE_FIXTURE(Tidy, "scan: a task under another one's name is not that task") {
  Disk disk;
  disk.create("a");
  REQUIRE(sys::rename_at(disk.dir.fd(), "a", disk.dir.fd(), "b"));
  CHECK(disk.found().empty());
  CHECK(disk.dir.names(".quarantine") == Names{"b"});
}

TEST_CASE_FIXTURE(Tidy, "scan: of two tasks with one identity only the first counts") {
  Disk disk;
  Task task = disk.create("a");
  task.name = "b";
  disk.dir.make_dir("b");
  disk.dir.write("b/task.json", encode_task_file(task));  // the same uid and number under another name
  Task other = disk.make("c");
  other.uid = task.uid;
  disk.dir.make_dir("c");
  disk.dir.write("c/task.json", encode_task_file(other));  // the same uid alone
  CHECK(disk.found().size() == 1);
  CHECK(disk.dir.names(".quarantine").size() == 2);
  CHECK(disk.found().size() == 1);  // and it stays so
}

TEST_CASE_FIXTURE(Tidy, "scan: a number that two tasks have makes neither a copy") {
  Disk disk;
  const Task a = disk.create("a");
  Task b = disk.make("b");  // of another data directory, say
  b.sequence = a.sequence;
  disk.dir.make_dir("b");
  disk.dir.write("b/task.json", encode_task_file(b));
  const Task c = disk.create("c");
  disk.reopen();
  const Result<std::vector<Recovered>> found = disk.store->scan();
  REQUIRE(found);
  REQUIRE(found->size() == 3);
  std::set<uint64_t> numbers;
  for (const Recovered& one : *found) numbers.insert(one.task->sequence);
  numbers.insert(disk.make("d").sequence);
  CHECK(numbers.size() == 4);
  CHECK(disk.dir.names(".quarantine").empty());
}

TEST_CASE_FIXTURE(Tidy, "scan: a supervisor's lock is seen, and not taken") {
  Disk disk;
  disk.create("t");
  const Result<Fd> supervisor = sys::open_dir_at(disk.dir.fd(), "t");
  REQUIRE(*sys::try_flock(supervisor->get()));
  CHECK(disk.found() == Names{"t L"});
  CHECK(disk.found() == Names{"t L"});
}
