#include "codec/state_file.h"

#include "base/crc32c.h"
#include "specs.h"

using namespace te;

namespace {

Task a_task(std::string_view text = test::kFullGuide) {
  Result<TaskRequests> read = test::read_one(text);
  REQUIRE(read);
  Task task;
  task.name = read->tasks[0].name;
  task.spec = std::move(read->tasks[0].spec);
  task.uid = Uid::from("0123456789abcdef0123456789abcdef");
  task.sequence = 42;
  task.accepted_at = 1'765'965'600'123'456;
  return task;
}

RunRecord a_run() {
  RunRecord run;
  run.phase = RunPhase::kPreStart;
  run.attempt = 3;
  run.supervisor = {4'000'000, 123'456'789'012};
  run.process = {4'000'001, 123'456'789'013};
  run.spawned_at = 1;
  run.started_at = 2;
  run.execed_at = 3;
  return run;
}

ExitRecord an_end() {
  ExitRecord end;
  end.cause = EndCause::kStartError;
  end.wait_status = 139;
  end.stage = StartStage::kExec;
  end.error = 13;
  end.object = "/bin/\"odd\"\n\xC3\xA9";
  end.user_cpu_us = 1;
  end.system_cpu_us = 2;
  end.max_rss_kib = 3;
  end.spawned_at = 4;
  end.started_at = 5;
  end.execed_at = 6;
  end.finished_at = 7;
  end.tree_gone = true;
  return end;
}

template <class T>
Result<T> decode(Result<T> (*decoder)(JsonParser&, PaddedText), std::string_view bytes) {
  JsonParser parser;
  const PaddedCopy copy(bytes);
  return decoder(parser, copy.text());
}

/// `body` is a file's text up to its checksum: `{"format":1…`.
std::string seal(std::string body) {
  const uint32_t sum = crc32c(body);
  body += ",\"crc32c\":\"";
  append_hex32(body, sum);
  return body + "\"}\n";
}

std::string body_of(const std::string& file) { return file.substr(0, file.size() - kTrailerSize); }

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

template <class T>
bool corrupt(Result<T> (*decoder)(JsonParser&, PaddedText), const std::string& bytes) {
  const Result<T> result = decode(decoder, bytes);
  return !result && result.error().kind == ErrorKind::kCorrupt;
}

}  // namespace

TEST_CASE("state file: a task comes back whole") {
  for (const std::string_view text : {test::kFullGuide, test::kFullController}) {
    const Task task = a_task(text);
    const Result<TaskFile> back = decode(decode_task_file, encode_task_file(task));
    REQUIRE(back);
    CHECK(back->name == "full");
    CHECK(back->uid == task.uid);
    CHECK(back->sequence == 42);
    CHECK(back->accepted_at == task.accepted_at);
    CHECK(same_spec(back->spec, task.spec));
    CHECK(back->spec.form == task.spec.form);
    CHECK(test::spec_text("x", back->spec) == test::spec_text("x", task.spec));
  }
}

TEST_CASE("state file: a task that needs a flag is taken back without it") {
  Task task = a_task(R"({"name":"t","process":{"command":["x"]}})");
  task.spec.process.exec_mode = ExecMode::kRemote;
  const Result<TaskFile> back = decode(decode_task_file, encode_task_file(task));
  REQUIRE(back);
  CHECK(back->spec.process.exec_mode == ExecMode::kRemote);
}

TEST_CASE("state file: a task as deep as a request may be comes back whole") {
  constexpr size_t kInside = kJsonMaxDepth - 3;
  const std::string deep = std::string(kInside, '[') + std::string(kInside, ']');
  const std::string text =
      R"({"name":"t","podTemplateSpec":{"spec":{"containers":[{"name":"a","image":"b"}],"x":)" + deep + "}}}";
  SpecOptions options;
  options.container_mode = true;
  Result<TaskRequests> read = test::read_one(text, options);
  REQUIRE(read);
  Task task = a_task();
  task.spec = std::move(read->tasks[0].spec);
  const Result<TaskFile> back = decode(decode_task_file, encode_task_file(task));
  REQUIRE(back);
  CHECK(back->spec.pod->json.find(deep) != std::string::npos);
}

TEST_CASE("state file: a run comes back whole, in each phase") {
  for (const RunPhase phase : {RunPhase::kPreStart, RunPhase::kMain, RunPhase::kPostStop}) {
    RunRecord run = a_run();
    run.phase = phase;
    const Result<RunRecord> back = decode(decode_run, encode_run(run));
    REQUIRE(back);
    CHECK(back->phase == phase);
    CHECK(back->attempt == 3);
    CHECK(back->supervisor == run.supervisor);
    CHECK(back->process == run.process);
    CHECK(back->spawned_at == 1);
    CHECK(back->started_at == 2);
    CHECK(back->execed_at == 3);
  }
}

TEST_CASE("state file: an end comes back whole, with each cause and stage") {
  for (const EndCause cause : {EndCause::kEnded, EndCause::kTimeout, EndCause::kStartError, EndCause::kLost}) {
    for (const StartStage stage : {StartStage::kNone, StartStage::kFork, StartStage::kRecord, StartStage::kLog,
                                   StartStage::kWorkingDir, StartStage::kCredentials, StartStage::kExec}) {
      ExitRecord end = an_end();
      end.cause = cause;
      end.stage = stage;
      const Result<ExitRecord> back = decode(decode_exit, encode_exit(end));
      REQUIRE(back);
      CHECK(back->cause == cause);
      CHECK(back->stage == stage);
      CHECK(back->wait_status == 139);
      CHECK(back->error == 13);
      CHECK(back->object == end.object);
      CHECK(back->user_cpu_us == 1);
      CHECK(back->system_cpu_us == 2);
      CHECK(back->max_rss_kib == 3);
      CHECK(back->spawned_at == 4);
      CHECK(back->started_at == 5);
      CHECK(back->execed_at == 6);
      CHECK(back->finished_at == 7);
      CHECK(back->tree_gone);
    }
  }
}

TEST_CASE("state file: the note of an exec") {
  RunRecord run = a_run();
  CHECK(encode_execed(run) == "3");
  for (const char* odd : {"", "0", "-1", "x", "12x", " 12", "99999999999999999999"}) {
    decode_execed(odd, run);
    CHECK(run.execed_at == 3);
  }
  decode_execed("1234567890123456", run);
  CHECK(run.execed_at == 1'234'567'890'123'456);
}

TEST_CASE("state file: one line of JSON, with its version first and its checksum last") {
  for (const std::string& file : {encode_task_file(a_task()), encode_run(a_run()), encode_exit(an_end())}) {
    CHECK(file.starts_with("{\"format\":1,\"kind\":\""));
    CHECK(file.find('\n') == file.size() - 1);
    CHECK(seal(body_of(file)) == file);
  }
}

TEST_CASE("state file: any byte changed is noticed") {
  const std::string task = encode_task_file(a_task());
  const std::string run = encode_run(a_run());
  const std::string end = encode_exit(an_end());
  const auto all_noticed = [](auto decoder, const std::string& file) {
    size_t missed = 0;
    for (size_t at = 0; at < file.size(); ++at) {
      for (const char flip : {'\x01', '\x20', '\x80', '\xFF'}) {
        std::string changed = file;
        changed[at] = static_cast<char>(changed[at] ^ flip);
        missed += corrupt(decoder, changed) ? 0U : 1U;
      }
    }
    return missed;
  };
  CHECK(all_noticed(decode_task_file, task) == 0);
  CHECK(all_noticed(decode_run, run) == 0);
  CHECK(all_noticed(decode_exit, end) == 0);
}

TEST_CASE("state file: cut at any length, or with more behind it, it is noticed") {
  const std::string end = encode_exit(an_end());
  const std::string task = encode_task_file(a_task());
  for (size_t size = 0; size < end.size(); ++size) CHECK(corrupt(decode_exit, end.substr(0, size)));
  for (size_t size = 0; size < task.size(); ++size) CHECK(corrupt(decode_task_file, task.substr(0, size)));
  CHECK(corrupt(decode_exit, end + "\n"));
  CHECK(corrupt(decode_exit, end + end));
  CHECK(corrupt(decode_exit, end + std::string(kExitRecordMax - end.size(), '\0')));
  CHECK(corrupt(decode_exit, std::string(kExitRecordMax, '\0')));
}

TEST_CASE("state file: another version, another kind, or no JSON behind a right checksum") {
  const std::string end = body_of(encode_exit(an_end()));
  CHECK(decode(decode_exit, seal(end)));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"format\":1", "\"format\":2"))));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"format\":1,", ""))));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"kind\":\"exit\"", "\"kind\":\"run\""))));
  CHECK(corrupt(decode_exit, encode_run(a_run())));
  CHECK(corrupt(decode_run, encode_exit(an_end())));
  CHECK(corrupt(decode_task_file, encode_run(a_run())));
  CHECK(corrupt(decode_exit, seal("garbage")));
  CHECK(corrupt(decode_exit, seal("{\"format\":1")));
  CHECK(corrupt(decode_exit, seal("[1")));
}

TEST_CASE("state file: a field of a later writer is left alone") {
  const std::string end = body_of(encode_exit(an_end())) + ",\"later\":{\"deep\":[1,2]}";
  CHECK(decode(decode_exit, seal(end)));
  CHECK(decode(decode_run, seal(body_of(encode_run(a_run())) + ",\"later\":1")));
  CHECK(decode(decode_task_file, seal(body_of(encode_task_file(a_task())) + ",\"later\":1")));
}

TEST_CASE("state file: behind a right checksum, values must still be ones that can be") {
  const std::string end = body_of(encode_exit(an_end()));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"startError\"", "\"exploded\""))));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"stage\":\"exec\"", "\"stage\":\"moon\""))));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"cause\":\"startError\",", ""))));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"waitStatus\":139", "\"waitStatus\":4294967296"))));
  CHECK(corrupt(decode_exit, seal(replaced(end, "\"waitStatus\":139", "\"waitStatus\":\"139\""))));
  const std::string run = body_of(encode_run(a_run()));
  CHECK(corrupt(decode_run, seal(replaced(run, "\"attempt\":3", "\"attempt\":0"))));
  CHECK(corrupt(decode_run, seal(replaced(run, "\"pid\":4000000", "\"pid\":0"))));
  CHECK(corrupt(decode_run, seal(replaced(run, "\"pid\":4000000", "\"pid\":-1"))));
  CHECK(corrupt(decode_run, seal(replaced(run, "\"pid\":4000000", "\"pid\":99999999999"))));
  CHECK(corrupt(decode_run, seal(replaced(run, "\"phase\":\"preStart\"", "\"phase\":\"lunch\""))));
  const std::string task = body_of(encode_task_file(a_task()));
  CHECK(corrupt(decode_task_file, seal(replaced(task, "0123456789abcdef", "0123456789ABCDEF"))));
  CHECK(corrupt(decode_task_file, seal(replaced(task, "\"sequence\":42", "\"sequence\":0"))));
  CHECK(corrupt(decode_task_file, seal(replaced(task, "\"name\":\"full\"", "\"name\":\"../x\""))));
  CHECK(corrupt(decode_task_file, seal("{\"format\":1,\"kind\":\"task\"")));
}

TEST_CASE("state file: whatever is cut of an end in many containers, the reasons are not") {
  ExitRecord end = an_end();
  end.pod = PodRecord();
  for (int i = 0; i < 200; ++i) {
    ContainerRecord& one = end.pod->containers.emplace_back();
    one.id = std::string(64, 'a');
    one.image_id = "sha256:" + std::string(64, 'b');
    one.message = std::string(1000, 'c');
    one.reason = "OOMKilled";
  }
  const Result<ExitRecord> back = decode(decode_exit, encode_exit(end));
  REQUIRE(back);
  CHECK(back->pod->containers[100].reason == "OOMKilled");
}

TEST_CASE("state file: an end fits its reserved space, whatever its object") {
  for (const char hostile : {'a', '"', '\\', '\x01', '\x7F', '\xFF', '\xC3'}) {
    for (const size_t size : {size_t{1}, size_t{600}, size_t{1300}, size_t{4095}, size_t{4096}, size_t{100'000}}) {
      CAPTURE(size);
      ExitRecord end = an_end();
      end.object = std::string(size, hostile);
      end.wait_status = INT32_MIN;
      end.error = INT32_MIN;
      for (int64_t* number : {&end.user_cpu_us, &end.system_cpu_us, &end.max_rss_kib, &end.spawned_at, &end.started_at,
                              &end.execed_at, &end.finished_at}) {
        *number = INT64_MIN;
      }
      const std::string file = encode_exit(end);
      CHECK(file.size() <= kExitRecordMax);
      const Result<ExitRecord> back = decode(decode_exit, file);
      REQUIRE(back);
      CHECK(back->finished_at == INT64_MIN);
      CHECK(!back->object.empty());
    }
  }
  // Cut in the middle of a character, it is still JSON.
  ExitRecord end = an_end();
  for (int i = 0; i < 2000; ++i) end.object += "\xE2\x82\xAC";
  CHECK(decode(decode_exit, encode_exit(end)));
}
