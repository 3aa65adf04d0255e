#include "app/log_sink.h"

#include "../support.h"
#include "../task/fakes.h"

using namespace te;
using test::in_child;
using test::TempDir;
using test::Tidy;

using Names = std::vector<std::string>;

namespace {

/// A sink that writes into DIR/log, with a clock to turn.
struct Logging {
  explicit Logging(int64_t max_size, int64_t max_backups = 0, int64_t max_age_days = 0)
      : options{dir.path("log"), max_size, max_backups, max_age_days}, sink(options, clock) {}
  void write(std::string_view line) { sink.write(LogLevel::kInfo, line); }
  void pass_days(int64_t days) { clock.now += days * 86'400 * kSecond; }
  std::string current() const { return dir.read("log/task-executor.log"); }
  Names backups() const {
    Names out;
    for (const std::string& name : dir.names("log")) {
      if (name != "task-executor.log") out.push_back(name);
    }
    return out;
  }

  TempDir dir;
  LogFileOptions options;
  fake::FakeClock clock;
  FileSink sink;
};

/// What `body` writes to standard error, from a child process.
std::string standard_error_of(FunctionRef<void()> body) {
  test::Pipe pipe;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(pipe.in.get(), 2);
    pipe.in.reset();
    body();
    ::_exit(0);
  }
  pipe.in.reset();
  std::string said = test::read_to_end(pipe.out.get());
  ::waitpid(pid, nullptr, 0);
  return said;
}

}  // namespace

TEST_CASE_FIXTURE(Tidy, "standard error: lines as they are") {
  CHECK(standard_error_of([] {
          ::unsetenv("JOURNAL_STREAM");
          StderrSink sink;
          sink.write(LogLevel::kError, "one\n");
          sink.write(LogLevel::kDebug, "two\n");
        }) == "one\ntwo\n");
}

TEST_CASE_FIXTURE(Tidy, "standard error: priorities for the journal") {
  CHECK(standard_error_of([] {
          struct stat info {};
          ::fstat(2, &info);
          ::setenv("JOURNAL_STREAM", (std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino)).c_str(), 1);
          StderrSink sink;
          sink.write(LogLevel::kDebug, "d\n");
          sink.write(LogLevel::kInfo, "i\n");
          sink.write(LogLevel::kWarning, "w\n");
          sink.write(LogLevel::kError, "e\n");
        }) == "<7>d\n<6>i\n<4>w\n<3>e\n");
}

TEST_CASE_FIXTURE(Tidy, "standard error: a reader that does not read, or has gone, holds nobody up") {
  CHECK(in_child([]() -> std::string {
          test::Pipe pipe;
          ::dup2(pipe.in.get(), 2);
          StderrSink sink;
          for (int i = 0; i < 10'000; ++i) sink.write(LogLevel::kInfo, std::string(100, 'x') + "\n");
          ::signal(SIGPIPE, SIG_IGN);
          pipe.out.reset();
          sink.write(LogLevel::kInfo, "nobody\n");
          return {};
        }) == "");
}

TEST_CASE_FIXTURE(Tidy, "log file: made with its directory, and gone on with after a restart") {
  Logging log(1000);
  CHECK(!log.dir.has("log"));
  log.write("one\n");
  CHECK(log.current() == "one\n");
  {
    FileSink next(log.options, log.clock);
    next.write(LogLevel::kError, "two\n");
  }
  log.write("three\n");
  CHECK(log.current() == "one\ntwo\nthree\n");
  struct stat info {};
  REQUIRE(::fstatat(log.dir.fd(), "log/task-executor.log", &info, 0) == 0);
  CHECK((info.st_mode & 07137U) == 0);  // at most 0640
}

TEST_CASE_FIXTURE(Tidy, "log file: behind a symbolic link") {
  Logging log(1000);
  REQUIRE(::mkdirat(log.dir.fd(), "elsewhere", 0700) == 0);
  REQUIRE(::symlinkat("elsewhere", log.dir.fd(), "log") == 0);
  log.write("one\n");
  CHECK(log.dir.read("elsewhere/task-executor.log") == "one\n");
}

TEST_CASE_FIXTURE(Tidy, "log file: put aside before it grows over its size") {
  Logging log(10);
  log.write("12345\n");
  log.write("789\n");
  CHECK(log.current() == "12345\n789\n");
  CHECK(log.backups().empty());
  log.write("next\n");
  CHECK(log.current() == "next\n");
  REQUIRE(log.backups().size() == 1);
  CHECK(log.backups()[0] == "task-executor-2023-11-14T22:30:00Z.log");
  CHECK(log.dir.read("log/" + log.backups()[0]) == "12345\n789\n");
}

TEST_CASE_FIXTURE(Tidy, "log file: a line longer than the size has a file of its own") {
  Logging log(10);
  const std::string line = std::string(50, 'x') + "\n";
  log.write(line);
  CHECK(log.current() == line);
  log.write("y\n");
  CHECK(log.current() == "y\n");
  CHECK(log.backups().size() == 1);
}

TEST_CASE_FIXTURE(Tidy, "log file: several put aside in one second keep their names apart") {
  Logging log(4);
  for (const char* line : {"a\n", "bcd\n", "efg\n", "hij\n"}) log.write(line);
  CHECK(log.backups() == Names{"task-executor-2023-11-14T22:30:00Z.1.log", "task-executor-2023-11-14T22:30:00Z.2.log",
                               "task-executor-2023-11-14T22:30:00Z.log"});
  CHECK(log.dir.read("log/task-executor-2023-11-14T22:30:00Z.log") == "a\n");
  CHECK(log.dir.read("log/task-executor-2023-11-14T22:30:00Z.2.log") == "efg\n");
}

TEST_CASE_FIXTURE(Tidy, "log file: of those put aside the newest are kept, and strangers left alone") {
  Logging log(4, 2);
  log.write("0..\n");
  log.dir.write("log/task-executor-notes.txt", "mine");
  log.dir.write("log/other.log", "another's");
  for (const char* line : {"1..\n", "2..\n", "3..\n", "4..\n"}) {
    log.clock.now += 2 * kSecond;
    log.write(line);
  }
  const Names names = log.dir.names("log");
  CHECK(names.size() == 5);
  CHECK(log.dir.read("log/task-executor-notes.txt") == "mine");
  CHECK(log.dir.read("log/other.log") == "another's");
  std::string kept;
  for (const std::string& name : log.backups()) {
    if (name.starts_with("task-executor-2")) kept += log.dir.read("log/" + name);
  }
  CHECK(kept == "2..\n3..\n");
}

TEST_CASE_FIXTURE(Tidy, "log file: those put aside long ago are removed") {
  Logging log(4, 0, 7);
  log.write("old\n");
  log.write("new\n");
  CHECK(log.backups().size() == 1);
  log.pass_days(6);
  log.write("6..\n");
  CHECK(log.backups().size() == 2);
  log.pass_days(2);
  log.write("8..\n");
  CHECK(log.backups().size() == 2);  // the first one is 8 days old
}

TEST_CASE_FIXTURE(Tidy, "log file: with no bounds all are kept") {
  Logging log(4);
  for (int i = 0; i < 10; ++i) {
    log.pass_days(100);
    log.write("abc\n");
  }
  CHECK(log.backups().size() == 9);
}

TEST_CASE_FIXTURE(Tidy, "log file: what can't be written there goes to standard error, told once") {
  const TempDir dir;
  dir.write("file", "");
  const std::string said = standard_error_of([&] {
    ::unsetenv("JOURNAL_STREAM");
    const fake::FakeClock clock;
    FileSink sink({.dir = dir.path("file"), .max_size = 100, .max_backups = 0, .max_age_days = 0}, clock);
    sink.write(LogLevel::kInfo, "one\n");
    sink.write(LogLevel::kInfo, "two\n");
  });
  CHECK(said.starts_with("the log file can't be written: "));
  CHECK(said.find("ENOTDIR") != std::string::npos);
  CHECK(said.ends_with("\none\ntwo\n"));
  CHECK(said.find("can't be written", 30) == std::string::npos);
}

TEST_CASE_FIXTURE(Tidy, "log file: once the directory can be written again the file is used again") {
  const TempDir dir;
  dir.write("log", "in the way");
  CHECK(standard_error_of([&] {
          ::unsetenv("JOURNAL_STREAM");
          const fake::FakeClock clock;
          FileSink sink({.dir = dir.path("log"), .max_size = 100, .max_backups = 0, .max_age_days = 0}, clock);
          sink.write(LogLevel::kInfo, "lost\n");
          (void)sys::unlink_at(dir.fd(), "log").ok();
          sink.write(LogLevel::kInfo, "found\n");
        }).ends_with("\nlost\n"));
  CHECK(dir.read("log/task-executor.log") == "found\n");
}

TEST_CASE_FIXTURE(Tidy, "log file: one that was removed, or its directory, is made anew when it is to be put aside") {
  for (const bool with_dir : {false, true}) {
    CAPTURE(with_dir);
    Logging log(10);
    const std::string said = standard_error_of([&] {
      ::unsetenv("JOURNAL_STREAM");
      log.write("12345678\n");
      (void)sys::unlink_at(log.dir.fd(), "log/task-executor.log").ok();
      if (with_dir) ::unlinkat(log.dir.fd(), "log", AT_REMOVEDIR);
      log.write("second\n");
      log.write("3\n");
    });
    CHECK(said.ends_with(with_dir ? "\nsecond\n" : ""));
    CHECK(said.empty() == !with_dir);
    CHECK(log.current() == (with_dir ? "3\n" : "second\n3\n"));
    CHECK(log.backups().empty());
  }
}

TEST_CASE_FIXTURE(Tidy, "log file: a directory without write permission") {
  CHECK(in_child([]() -> std::string {
          if (test::is_root()) MUST(::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0);
          const TempDir dir;
          dir.make_dir("log");
          MUST(::fchmodat(dir.fd(), "log", 0500, 0) == 0);
          const std::string said = standard_error_of([&] {
            ::unsetenv("JOURNAL_STREAM");
            const fake::FakeClock clock;
            FileSink sink({.dir = dir.path("log"), .max_size = 100, .max_backups = 0, .max_age_days = 0}, clock);
            sink.write(LogLevel::kInfo, "line\n");
          });
          MUST(said.find("EACCES") != std::string::npos);
          MUST(said.ends_with("\nline\n"));
          return {};
        }) == "");
}
