#include "store/file_store.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstddef>

#include "../codec/specs.h"
#include "../support.h"
#include "../task/fakes.h"
#include "codec/state_file.h"
#include "disk.h"
#include "store/inspect.h"
#include "sys/atomic_file.h"

using namespace te;
using test::a_run;
using test::Disk;
using test::in_child;
using test::Names;
using test::read_one;
using test::Tidy;

namespace {

/// From now on this process can't sync that directory (EIO), nor take anything out of it (EROFS).
bool make_unchangeable(int dir) {
  const auto at = [](size_t offset) { return static_cast<uint32_t>(offset); };
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at(offsetof(seccomp_data, args[0]))),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(dir), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at(offsetof(seccomp_data, nr))),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fsync, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_renameat, 2, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EROFS),
  };
  const sock_fprog program{sizeof filter / sizeof filter[0], filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/// From now on this process can sync nothing (EIO).
bool fail_syncs() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offsetof(seccomp_data, nr))),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fsync, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof filter / sizeof filter[0], filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "store: opened, it has its folders, all private") {
  Disk disk;
  CHECK(disk.dir.names() == Names{".lock", ".new", ".next", ".quarantine", ".trash"});
  for (const std::string& name : disk.dir.names()) {
    struct stat info {};
    REQUIRE(::fstatat(disk.dir.fd(), name.c_str(), &info, 0) == 0);
    CHECK((info.st_mode & 077U) == 0);
  }
  CHECK(disk.found().empty());
  CHECK(disk.store->trash_is_empty());
}

TEST_CASE_FIXTURE(Tidy, "store: a directory that is not there is made; one that can't be is an error") {
  Disk disk;
  const Result<std::unique_ptr<FileStore>> deep = FileStore::open(disk.dir.path("a/b"), disk.clock, disk.log);
  CHECK(deep);
  disk.dir.write("file", "");
  CHECK(FileStore::open(disk.dir.path("file"), disk.clock, disk.log).error().code == ENOTDIR);
}

TEST_CASE_FIXTURE(Tidy, "store: one agent at a time") {
  Disk disk;
  CHECK(in_child([&]() -> std::string {
          const Result<std::unique_ptr<FileStore>> second = FileStore::open(disk.dir.path(), disk.clock, disk.log);
          MUST(!second);
          MUST(second.error().kind == ErrorKind::kConflict);
          MUST(second.error().text().find(disk.dir.path()) != std::string::npos);
          return {};
        }) == "");
  disk.store.reset();
  CHECK(in_child([&]() -> std::string {
          MUST(FileStore::open(disk.dir.path(), disk.clock, disk.log));
          return {};
        }) == "");
  disk.open();
}

TEST_CASE_FIXTURE(Tidy, "store: identities differ, and numbers go up over restarts") {
  Disk disk;
  const Task a = disk.create("a");
  const Task b = disk.create("b");
  CHECK(a.uid != b.uid);
  CHECK(!Uid::from(a.uid.view()).empty());
  CHECK(a.sequence < b.sequence);
  CHECK(a.accepted_at == disk.clock.wall());
  disk.reopen();
  CHECK(disk.found() == Names{"a", "b"});
  CHECK(disk.make("c").sequence > b.sequence);
}

TEST_CASE_FIXTURE(Tidy, "store: a created task is whole, private, and has room for its end") {
  Disk disk;
  const Task task = disk.create("t");
  CHECK(disk.dir.names("t") == Names{"exit.tmp", "task.json"});
  CHECK(disk.dir.names(".new").empty());
  struct stat info {};
  REQUIRE(::fstatat(disk.dir.fd(), "t", &info, 0) == 0);
  CHECK((info.st_mode & 07777U) == 0700);
  REQUIRE(::fstatat(disk.dir.fd(), "t/exit.tmp", &info, 0) == 0);
  CHECK((info.st_mode & 07777U) == 0600);
  CHECK(info.st_blocks > 0);  // written out, not a hole
  disk.reopen();
  Result<std::vector<Recovered>> found = disk.store->scan();
  REQUIRE(found);
  REQUIRE(found->size() == 1);
  const Task& back = *found->at(0).task;
  CHECK(back.name == "t");
  CHECK(back.uid == task.uid);
  CHECK(back.sequence == task.sequence);
  CHECK(back.accepted_at == task.accepted_at);
  CHECK(same_spec(back.spec, task.spec));
  CHECK(back.deleted_at == 0);
  CHECK(!found->at(0).locked);
  CHECK(!found->at(0).has_run);
}

TEST_CASE_FIXTURE(Tidy, "store: a creation that fails leaves nothing behind") {
  Disk disk;
  disk.create("t");
  Task again = disk.make("t");
  const Result<void> created = fake::create_one(*disk.store, again, Place::kLive);
  REQUIRE(!created);
  CHECK((created.error().code == ENOTEMPTY || created.error().code == EEXIST));
  CHECK(disk.dir.names(".new").empty());
  CHECK(disk.dir.names(".trash").empty());
  CHECK(disk.found() == Names{"t"});
}

TEST_CASE_FIXTURE(Tidy, "store: creations that share a write have each its own result") {
  Disk disk;
  disk.create("taken");
  disk.create("old");
  Task a = disk.make("a");
  Task taken = disk.make("taken");
  Task next = disk.make("old");
  Task b = disk.make("b");
  Creation all[] = {
      {&a, Place::kLive, {}}, {&taken, Place::kLive, {}}, {&next, Place::kNext, {}}, {&b, Place::kLive, {}}};
  disk.store->create(all);
  CHECK(all[0].result);
  REQUIRE(!all[1].result);
  CHECK((all[1].result.error().code == ENOTEMPTY || all[1].result.error().code == EEXIST));
  CHECK(all[2].result);
  CHECK(all[3].result);
  CHECK(disk.dir.names(".new").empty());
  CHECK(disk.dir.names(".trash").empty());
  disk.reopen();
  CHECK(disk.found() == Names{"a", "b", "old", "old>", "taken"});
}

TEST_CASE_FIXTURE(Tidy, "store: the mark of deletion is a rename, and survives") {
  Disk disk;
  Task task = disk.create("t");
  CHECK(disk.store->mark_deleted(task));
  CHECK(task.deleted_at == disk.clock.wall());
  CHECK(disk.dir.names("t") == Names{"deleted.json", "exit.tmp"});
  CHECK(disk.store->mark_deleted(task));  // tried again after a failed sync
  disk.reopen();
  CHECK(disk.found() == Names{"-t"});
  Task other = disk.make("missing");  // somebody has removed it by hand
  CHECK(disk.store->mark_deleted(other));
  CHECK(other.deleted_at == disk.clock.wall());
}

TEST_CASE_FIXTURE(Tidy, "store: a mark or a removal that can't be made durable is undone, as its error says") {
  Disk disk;
  Task task = disk.create("t");
  const Task next = disk.create("t", Place::kNext);
  CHECK(in_child([&]() -> std::string {
          MUST(fail_syncs());
          MUST(disk.store->mark_deleted(task).error().code == EIO);
          MUST(!task.deleting());
          MUST(disk.store->discard(next, Place::kNext).error().code == EIO);
          return {};
        }) == "");
  CHECK(disk.dir.names("t") == Names{"exit.tmp", "task.json"});
  CHECK(disk.dir.names(".trash").empty());
  disk.reopen();
  CHECK(disk.found() == Names{"t", "t>"});
}

TEST_CASE_FIXTURE(
    Tidy, "store: what somebody has removed by hand keeps no task from being marked, or from being told as lost") {
  Disk disk;
  Task task = disk.create("t");
  REQUIRE(sys::unlink_at(disk.dir.fd(), "t/task.json"));
  CHECK(disk.store->mark_deleted(task));
  CHECK(task.deleted_at == disk.clock.wall());
  CHECK(disk.store->discard(task, Place::kLive));
  CHECK(disk.dir.names(".trash") == Names{disk.uid(task)});
  CHECK(disk.store->record_lost(task, {}));
  CHECK(disk.store->clear_run(task).error().code == ENOENT);
  disk.dir.write("t", "no directory");
  CHECK(disk.store->record_lost(task, {}));
}

TEST_CASE_FIXTURE(Tidy, "store: a discarded task is in the trash and its name free") {
  Disk disk;
  const Task task = disk.create("t");
  CHECK(disk.store->discard(task, Place::kLive));
  CHECK(disk.dir.names(".trash") == Names{disk.uid(task)});
  CHECK(!disk.store->trash_is_empty());
  CHECK(disk.store->discard(task, Place::kLive));  // moved already
  CHECK(disk.found().empty());
  disk.create("t");
  CHECK(disk.found() == Names{"t"});
}

TEST_CASE_FIXTURE(Tidy, "store: a creation that can't be taken back stands in the way until it can") {
  Disk disk;
  const Task task = disk.create("t");
  disk.dir.write(".trash/" + disk.uid(task), "");  // a directory can't be renamed to that
  CHECK(disk.store->take_back(task, Place::kLive).error().code == ENOTDIR);
  Task again = disk.make("t");
  CHECK(fake::create_one(*disk.store, again, Place::kLive).error().code == ENOTDIR);
  CHECK(disk.store->clear_way("t").error().code == ENOTDIR);
  CHECK(disk.store->clear_way("other"));
  REQUIRE(sys::unlink_at(disk.dir.fd(), ".trash/" + disk.uid(task)));
  CHECK(fake::create_one(*disk.store, again, Place::kLive));
  CHECK(disk.dir.names(".trash") == Names{disk.uid(task)});
  CHECK(disk.store->clear_way({}));
  CHECK(disk.found() == Names{"t"});
  CHECK(disk.store->scan()->at(0).task->uid == again.uid);
}

TEST_CASE_FIXTURE(Tidy, "store: so does one whose name could not be made durable") {
  Disk disk;
  CHECK(in_child([&]() -> std::string {
          Task task = disk.make("t");
          MUST(make_unchangeable(disk.store->root()));
          MUST(fake::create_one(*disk.store, task, Place::kLive).error().code == EIO);
          MUST(disk.dir.has("t/task.json"));
          MUST(disk.store->clear_way("t").error().code == EROFS);
          MUST(disk.store->clear_way({}).error().code == EROFS);
          Task again = disk.make("t");
          MUST(fake::create_one(*disk.store, again, Place::kLive).error().code == EROFS);
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "store: a successor waits apart and then takes the name") {
  Disk disk;
  Task old = disk.create("t");
  REQUIRE(disk.store->mark_deleted(old));
  const Task next = disk.create("t", Place::kNext);
  CHECK(disk.found() == Names{"-t", "t>"});
  CHECK(!disk.store->promote(next));  // the name is still taken
  CHECK(disk.found() == Names{"-t", "t>"});
  CHECK(disk.store->discard(old, Place::kLive));
  CHECK(disk.store->promote(next));
  CHECK(disk.store->promote(next));  // moved already
  disk.reopen();
  CHECK(disk.found() == Names{"t"});
  CHECK(disk.store->scan()->at(0).task->uid == next.uid);
}

TEST_CASE_FIXTURE(Tidy, "store: a successor that is half promoted is discarded where it stands") {
  Disk disk;
  const Task next = disk.create("t", Place::kNext);
  REQUIRE(::renameat(disk.dir.fd(), ".next/t", disk.dir.fd(), "t") == 0);
  CHECK(disk.store->discard(next, Place::kNext));
  CHECK(disk.found().empty());
  CHECK(disk.dir.names(".trash") == Names{disk.uid(next)});
  const Task other = disk.create("t");
  CHECK(disk.store->discard(next, Place::kNext));  // that one is not it
  CHECK(disk.found() == Names{"t"});
}

TEST_CASE_FIXTURE(Tidy, "store: one that may be half promoted is not taken for discarded") {
  Disk disk;
  const Task next = disk.create("t", Place::kNext);
  REQUIRE(::renameat(disk.dir.fd(), ".next/t", disk.dir.fd(), "t") == 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const Result<void> discarded = disk.store->discard(next, Place::kNext);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(!discarded);
  CHECK(disk.store->discard(next, Place::kNext));
  CHECK(disk.found().empty());
}

TEST_CASE_FIXTURE(Tidy, "store: a successor is replaced in one step, or cancelled") {
  Disk disk;
  Task old = disk.create("t");
  REQUIRE(disk.store->mark_deleted(old));
  const Task first = disk.create("t", Place::kNext, "first");
  Task second = disk.make("t", "second");
  CHECK(disk.store->replace_next(second, first));
  CHECK(disk.dir.names(".trash") == Names{disk.uid(first)});
  CHECK(disk.dir.names(".new").empty());
  CHECK(disk.dir.read(".next/t/task.json").find(disk.uid(second)) != std::string::npos);
  CHECK(disk.found() == Names{"-t", "t>"});
  CHECK(disk.store->discard(second, Place::kNext));
  CHECK(disk.found() == Names{"-t"});
  Task third = disk.make("t", "third");
  CHECK(!disk.store->replace_next(third, second));  // there is none to replace
  CHECK(disk.dir.names(".new").empty());
  CHECK(disk.found() == Names{"-t"});
}

TEST_CASE_FIXTURE(Tidy, "store: records are read when they are there, and told when they are rubbish") {
  Disk disk;
  const Task task = disk.create("t");
  CHECK(!disk.store->read_run(task)->has_value());
  CHECK(!disk.store->read_exit(task)->has_value());
  disk.dir.write("t/run.json", encode_run(a_run()));
  CHECK((*disk.store->read_run(task))->supervisor == ProcessId{123, 456});
  ExitRecord end;
  end.wait_status = 3 << 8;
  disk.dir.write("t/exit.json", encode_exit(end));
  CHECK((*disk.store->read_exit(task))->wait_status == 3 << 8);
  disk.dir.write("t/run.json", "{}");
  CHECK(disk.store->read_run(task).error().kind == ErrorKind::kCorrupt);
  disk.dir.write("t/exit.json", "");
  CHECK(disk.store->read_exit(task).error().kind == ErrorKind::kCorrupt);
  disk.dir.write("t/exit.json", std::string(100'000, 'x'));
  CHECK(!disk.store->read_exit(task));
  disk.dir.write("elsewhere", encode_exit(end));
  REQUIRE(sys::unlink_at(disk.dir.fd(), "t/exit.json"));
  REQUIRE(::symlinkat("../elsewhere", disk.dir.fd(), "t/exit.json") == 0);
  CHECK(!disk.store->read_exit(task));  // a link is not followed
  CHECK(sys::unlink_at(disk.dir.fd(), "elsewhere"));
}

TEST_CASE("store: what a body of any length holds can be read again") { CHECK(kTaskFileMax >= 2 * kBodyMax); }

TEST_CASE_FIXTURE(Tidy, "store: the records of a pod of hundreds of containers can be read again") {
  Disk disk;
  const Task task = disk.create("t");
  RunRecord run;
  run.pod = PodRecord{};
  for (int i = 0; i < 300; ++i) {
    ContainerRecord& one = run.pod->containers.emplace_back();
    one.id = std::to_string(i);
    one.message = std::string(500, 'x');
  }
  disk.dir.write("t/run.json", encode_run(run));
  const Result<std::optional<RunRecord>> read = disk.store->read_run(task);
  REQUIRE(read);
  CHECK((*read)->pod->containers.size() == 300);
}

TEST_CASE_FIXTURE(Tidy, "store: what is no file, where a record should be, is a broken record and no passing trouble") {
  Disk disk;
  const Task task = disk.create("t");
  const auto is_broken = [&] {
    return disk.store->read_run(task).error().kind == ErrorKind::kCorrupt &&
           disk.store->read_exit(task).error().kind == ErrorKind::kCorrupt;
  };
  for (const char* name : {"t/run.json", "t/exit.json"}) disk.dir.make_dir(name);
  CHECK(is_broken());
  for (const char* name : {"t/run.json", "t/exit.json"}) {
    REQUIRE(sys::remove_dir_at(disk.dir.fd(), name));
    REQUIRE(::mkfifoat(disk.dir.fd(), name, 0600) == 0);
  }
  CHECK(is_broken());
  for (const char* name : {"t/run.json", "t/exit.json"}) {
    REQUIRE(sys::unlink_at(disk.dir.fd(), name));
    REQUIRE(::symlinkat("exit.json", disk.dir.fd(), name) == 0);
  }
  CHECK(is_broken());
}

TEST_CASE_FIXTURE(Tidy, "store: the note of an exec beside run.json") {
  Disk disk;
  const Task task = disk.create("t");
  disk.dir.write("t/run.json", encode_run(a_run()));
  CHECK((*disk.store->read_run(task))->execed_at == 0);
  const Result<void> added = sys::add_note(disk.dir.fd(), "t/run.json", kExecedNote, "77");
  if (!added && added.error().code == EOPNOTSUPP) return test::skip("notes: this file system has no attributes");
  CHECK((*disk.store->read_run(task))->execed_at == 77);
  RunRecord told = a_run();  // as it is where there are no attributes, which is the better word
  told.execed_at = 5;
  disk.dir.write("t/run.json", encode_run(told));
  CHECK((*disk.store->read_run(task))->execed_at == 5);
  const Result<Inspection> seen = inspect_store(disk.dir.path(), OnLost::kAuto);
  REQUIRE(seen);
  CHECK(seen->findings.front().task->run.execed_at == 5);
}

TEST_CASE_FIXTURE(Tidy, "store: a look from outside foretells what recovery does") {
  Disk disk;
  const auto predicted = [&disk](std::string_view name) -> std::string {
    const Result<Inspection> seen = inspect_store(disk.dir.path(), OnLost::kFail);
    REQUIRE(seen);
    for (const Finding& one : seen->findings) {
      if (one.name == name) return one.recovery;
    }
    return "not found";
  };
  const Task a = disk.create("a");
  Task b = disk.make("b");
  b.sequence = a.sequence;
  REQUIRE(fake::create_one(*disk.store, b, Place::kLive));
  Task pod = disk.make("pod");
  SpecOptions options;
  options.container_mode = true;
  Result<TaskRequests> read =
      read_one(R"({"name":"pod","podTemplateSpec":{"spec":{"containers":[{"name":"c","image":"i"}]}}})", options);
  REQUIRE(read);
  pod.spec = std::move(read->tasks.at(0).spec);
  REQUIRE(fake::create_one(*disk.store, pod, Place::kLive));
  disk.store.reset();
  // A number that two have is no copy.
  CHECK(predicted("a") == "started");
  CHECK(predicted("b") == "started");
  CHECK(predicted("pod") == "started");
  RunRecord run;
  run.pod = PodRecord{};
  disk.dir.write("pod/run.json", encode_run(run));
  CHECK(predicted("pod") == "taken up as it runs");
  run.pod->step = PodStep::kRemoved;
  disk.dir.write("pod/run.json", encode_run(run));
  CHECK(predicted("pod").starts_with("lost"));
  // An end that can't be read was one all the same.
  disk.dir.write("a/exit.json", "garbage");
  CHECK(predicted("a").starts_with("lost"));
}

TEST_CASE_FIXTURE(Tidy, "store: a lost run is recorded in the reserved space, with the lock in hand") {
  Disk disk;
  const Task task = disk.create("t");
  disk.dir.write("t/run.json", encode_run(a_run()));
  ExitRecord end;
  end.cause = EndCause::kLost;
  {
    const Result<Fd> supervisor = sys::open_dir_at(disk.dir.fd(), "t");
    REQUIRE(*sys::try_flock(supervisor->get()));
    CHECK(!*disk.store->unlocked(task));
    CHECK(disk.store->record_lost(task, end).error().code == EWOULDBLOCK);
    CHECK(!disk.dir.has("t/exit.json"));
    CHECK(disk.found() == Names{"t L R"});
  }
  CHECK(*disk.store->unlocked(task));
  CHECK(disk.store->record_lost(task, end));
  CHECK(disk.dir.names("t") == Names{"exit.json", "run.json", "task.json"});
  CHECK((*disk.store->read_exit(task))->cause == EndCause::kLost);
  CHECK((*disk.store->read_exit(task))->durable);
  CHECK(disk.found() == Names{"t R"});
}

TEST_CASE_FIXTURE(Tidy, "store: space for the end that a power loss has taken is reserved again") {
  Disk disk;
  (void)disk.create("t");
  (void)disk.create("ended");
  (void)disk.create("supervised");
  for (const char* name : {"t", "ended", "supervised"}) {
    REQUIRE(sys::unlink_at(disk.dir.fd(), std::string(name) + "/exit.tmp"));
  }
  disk.dir.write("ended/exit.json", encode_exit(ExitRecord{}));
  const Result<Fd> supervisor = sys::open_dir_at(disk.dir.fd(), "supervised");
  REQUIRE(*sys::try_flock(supervisor->get()));
  CHECK(disk.found() == Names{"ended R", "supervised L", "t"});
  CHECK(!disk.dir.has("ended/exit.tmp"));
  CHECK(!disk.dir.has("supervised/exit.tmp"));
  const Result<Fd> again = sys::open_at(disk.dir.fd(), "t/exit.tmp", O_RDONLY);
  REQUIRE(again);
  CHECK(*sys::allocated_size(again->get()) >= static_cast<int64_t>(kExitRecordMax));
}

TEST_CASE_FIXTURE(Tidy, "store: an end is known to be durable by its mark alone") {
  Disk disk;
  const Task task = disk.create("t");
  disk.dir.write("t/exit.json", encode_exit(ExitRecord{}));
  CHECK(!(*disk.store->read_exit(task))->durable);
  CHECK(disk.store->make_exit_durable(task));
  CHECK(disk.store->read_exit(task)->has_value());
  const Result<Fd> dir = sys::open_dir_at(disk.dir.fd(), "t");
  CHECK(sys::fill_reserved(dir->get(), "exit.tmp", "exit.json", "again"));
  CHECK((*disk.store->read_exit(task))->durable);
  CHECK(disk.store->read_exit(task)->has_value());
}

TEST_CASE_FIXTURE(Tidy, "store: an end that the supervisor has recorded is never written over") {
  Disk disk;
  const Task task = disk.create("t");
  ExitRecord truth;
  truth.wait_status = 7 << 8;
  disk.dir.write("t/exit.json", encode_exit(truth));
  ExitRecord lost;
  lost.cause = EndCause::kLost;
  CHECK(disk.store->record_lost(task, lost));
  CHECK((*disk.store->read_exit(task))->wait_status == 7 << 8);
}

TEST_CASE_FIXTURE(Tidy, "store: a run is cleared before it starts once more") {
  Disk disk;
  const Task task = disk.create("t");
  disk.dir.write("t/run.json", "anything");
  CHECK(disk.store->clear_run(task));
  CHECK(!disk.dir.has("t/run.json"));
  CHECK(disk.store->clear_run(task));
  CHECK(disk.found() == Names{"t"});
}

TEST_CASE_FIXTURE(Tidy, "store: so is an end that can't be read, and there is room for another one") {
  Disk disk;
  const Task task = disk.create("t");
  for (const bool directory : {false, true}) {
    REQUIRE(sys::unlink_at(disk.dir.fd(), "t/exit.tmp"));
    disk.dir.write("t/run.json", "anything");
    if (directory) {
      REQUIRE(sys::unlink_at(disk.dir.fd(), "t/exit.old"));
      disk.dir.make_dir("t/exit.json");
    } else {
      disk.dir.write("t/exit.json", "garbage");
    }
    CHECK(disk.store->clear_run(task));
    CHECK(disk.dir.names("t") == Names{"exit.old", "exit.tmp", "run.old", "task.json"});
    CHECK(disk.found() == Names{"t"});
  }
}

TEST_CASE_FIXTURE(Tidy, "logs: bounded on disk, head and tail kept, size as before") {
  Disk disk;
  const Task task = disk.create("t");
  std::string text;
  for (int i = 0; text.size() < 1'000'000; ++i) text += "line " + std::to_string(i) + "\n";
  disk.dir.write("t/stdout.log", text);
  disk.dir.write("t/stderr.log", "short\n");
  disk.store->bound_logs(task, 100'000);
  const Result<Fd> log = sys::open_at(disk.dir.fd(), "t/stdout.log", O_RDONLY);
  if (*sys::allocated_size(log->get()) > 500'000) return test::skip("this file system punches no holes");
  CHECK(*sys::allocated_size(log->get()) <= 120'000);
  const std::string now = disk.dir.read("t/stdout.log");
  CHECK(now.size() == text.size());
  CHECK(now.substr(0, 50'000) == text.substr(0, 50'000));
  CHECK(now.substr(now.size() - 50'000) == text.substr(text.size() - 50'000));
  CHECK(now[text.size() / 2] == '\0');
  CHECK(disk.dir.read("t/stderr.log") == "short\n");
  disk.store->bound_logs(task, 100'000);  // nothing left to do
  CHECK(disk.dir.read("t/stdout.log") == now);
  disk.store->bound_logs(disk.make("missing"), 100'000);
}

TEST_CASE_FIXTURE(Tidy, "logs: a task's files share what one look may take") {
  Disk disk;
  const Task task = disk.create("t");
  const std::string text(10 << 20, 'x');
  int64_t left = 0;
  const auto allocated = [&disk] {
    int64_t sum = 0;
    for (const char* file : {"t/stdout.log", "t/stderr.log"}) {
      sum += *sys::allocated_size(sys::open_at(disk.dir.fd(), file, O_RDONLY)->get());
    }
    return sum;
  };
  for (const char* file : {"t/stdout.log", "t/stderr.log"}) disk.dir.write(file, text);
  left = allocated();
  for (bool more = true; more;) {
    more = disk.store->bound_logs(task, 100'000);
    const int64_t now = allocated();
    if (more && now == left) return test::skip("this file system punches no holes");
    // The last part of one file, and the first one of the next.
    CHECK(left - now <= 8 << 20);
    left = now;
  }
  CHECK(left <= 240'000);
}

TEST_CASE_FIXTURE(Tidy,
                  "store: a trash that somebody has removed is made anew, and no task is said to be gone before") {
  Disk disk;
  const Task task = disk.create("t");
  REQUIRE(::unlinkat(disk.dir.fd(), ".trash", AT_REMOVEDIR) == 0);
  CHECK(disk.store->discard(task, Place::kLive));
  CHECK(!disk.dir.has("t"));
  CHECK(disk.dir.names(".trash") == Names{disk.uid(task)});
  const Task next = disk.create("t", Place::kNext);
  REQUIRE(sys::remove_contents(disk.store->trash().get()));
  REQUIRE(::unlinkat(disk.dir.fd(), ".trash", AT_REMOVEDIR) == 0);
  CHECK(disk.store->take_back(next, Place::kNext));
  CHECK(disk.found().empty());
  CHECK(disk.dir.names(".trash") == Names{disk.uid(next)});
}

TEST_CASE_FIXTURE(Tidy, "store: so are the folders of what is being made") {
  Disk disk;
  REQUIRE(::unlinkat(disk.dir.fd(), ".new", AT_REMOVEDIR) == 0);
  disk.create("a");
  REQUIRE(::unlinkat(disk.dir.fd(), ".next", AT_REMOVEDIR) == 0);
  disk.create("a", Place::kNext);
  REQUIRE(::unlinkat(disk.dir.fd(), ".quarantine", AT_REMOVEDIR) == 0);
  disk.dir.write("b", "no task");
  disk.create("b");
  CHECK(disk.dir.names(".quarantine") == Names{"b"});
  CHECK(disk.found() == Names{"a", "a>", "b"});
}

TEST_CASE_FIXTURE(Tidy, "store: a successor is not taken for promoted because another task stands there") {
  Disk disk;
  const Task old = disk.create("t");
  const Task next = disk.create("t", Place::kNext);
  REQUIRE(sys::rename_at(disk.dir.fd(), ".next/t", disk.dir.fd(), "elsewhere"));
  CHECK(!disk.store->promote(next));
  REQUIRE(sys::rename_at(disk.dir.fd(), "elsewhere", disk.dir.fd(), ".next/t"));
  CHECK(disk.store->discard(old, Place::kLive));
  CHECK(disk.store->promote(next));
  CHECK(disk.store->promote(next));
}

TEST_CASE_FIXTURE(Tidy, "store: what is no task, and has come while the agent runs, blocks no name") {
  Disk disk;
  disk.dir.make_dir("a");
  disk.dir.write("a/precious", "data");
  disk.dir.write("b", "a file");
  REQUIRE(::symlinkat("/etc", disk.dir.fd(), "c") == 0);
  disk.dir.make_dir(".next/d");
  disk.dir.write(".next/d/precious", "data");
  const Task next = disk.create("e", Place::kNext);
  disk.dir.make_dir("e");
  disk.dir.write("e/precious", "data");
  for (const char* name : {"a", "b", "c"}) disk.create(name);
  disk.create("d", Place::kNext);
  CHECK(disk.store->promote(next));
  CHECK(disk.found() == Names{"a", "b", "c", "d>", "e"});
  CHECK(disk.dir.names(".quarantine") == Names{"a", "b", "c", "d", "e"});
  CHECK(disk.dir.read(".quarantine/a/precious") == "data");
}

TEST_CASE_FIXTURE(Tidy, "store: a pipe or a directory where space is reserved, or tried, keeps nobody waiting") {
  Disk disk;
  (void)disk.create("t");
  REQUIRE(sys::unlink_at(disk.dir.fd(), "t/exit.tmp"));
  REQUIRE(::mkfifoat(disk.dir.fd(), "t/exit.tmp", 0600) == 0);
  CHECK(disk.found() == Names{"t"});
  CHECK(disk.dir.read("t/exit.tmp").size() == kExitRecordMax);
  REQUIRE(::mkfifoat(disk.dir.fd(), ".probe", 0600) == 0);
  CHECK(disk.store->probe());
  disk.dir.make_dir(".probe");
  CHECK(disk.store->probe());
  CHECK(!disk.dir.has(".probe"));
}

TEST_CASE_FIXTURE(Tidy, "store: whether a task could be created is tried, and leaves nothing") {
  Disk disk;
  const uint64_t before = disk.store->durable_writes().total;
  CHECK(disk.store->probe());
  CHECK(disk.store->durable_writes().total == before + 1);
  CHECK(!disk.dir.has(".probe"));
}

TEST_CASE_FIXTURE(Tidy, "store: each change is one durable write, and its time is counted") {
  Disk disk;
  CHECK(disk.store->durable_writes().total == 0);
  Task task = disk.create("t");
  CHECK(disk.store->durable_writes().total == 1);
  CHECK(disk.store->durable_time() > 0);
  REQUIRE(disk.store->mark_deleted(task));
  REQUIRE(disk.store->discard(task, Place::kLive));
  CHECK(disk.store->durable_writes().total == 3);
  CHECK(disk.found().empty());
  CHECK(disk.store->durable_writes().total == 3);
}
