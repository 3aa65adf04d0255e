#include "api/metrics.h"

#include "http_client.h"

using namespace te;
using test::Tidy;

namespace {

std::string written(const Manager& manager, const HttpServer& server, const Histogram& turns = {},
                    const Histogram& writes = {}, std::optional<RuntimeFigures> runtime = {}) {
  std::string out;
  write_metrics(out, {manager, server, turns, writes, 3, true, 4, 5, "version=\"x\"", std::move(runtime)});
  return out;
}

bool has_line(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

RuntimeFigures runtime_figures() { return {{{"Version", "OK", 3}, {"PullImage", "NOT_FOUND", 1}}, 3, 2, 7, true}; }

}  // namespace

TEST_CASE_FIXTURE(Tidy, "metrics: every sample has its type, and every name is ours") {
  const test::Served served;
  const fake::World world;
  const std::string text = written(*world.manager, served.server, {}, {}, runtime_figures());
  CHECK(text.ends_with("\n"));
  std::set<std::string> typed;
  std::set<std::string> sampled;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("# TYPE ")) {
      const std::string name = line.substr(7, line.rfind(' ') - 7);
      CHECK(typed.insert(name).second);
      const std::string type = line.substr(line.rfind(' ') + 1);
      CHECK((type == "counter" || type == "gauge" || type == "histogram"));
      CHECK((type == "counter") == name.ends_with("_total"));
      continue;
    }
    if (line.starts_with("# HELP ")) continue;
    CHECK((line.starts_with("task_executor_") || line.starts_with("process_")));
    std::string name = line.substr(0, line.find_first_of("{ "));
    for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
      if (!name.ends_with(suffix)) continue;
      const std::string base = name.substr(0, name.size() - suffix.size());
      if (typed.contains(base)) name = base;
    }
    CHECK(typed.contains(name));  // told before its samples
    sampled.insert(name);
    CHECK(line.find(' ') != std::string::npos);
    CHECK(line.substr(line.rfind(' ') + 1).find_first_not_of("0123456789.") == std::string::npos);
  }
  CHECK(typed == sampled);
}

TEST_CASE_FIXTURE(Tidy, "metrics: tasks by state, and what has been done") {
  const test::Served served;
  fake::World world;
  for (const char* name : {"a", "b", "c"}) world.reply(world.create(name));
  world.record_run("a");
  world.settle();
  world.run_to_end("b");
  world.reply(world.remove("a"));
  const std::string text = written(*world.manager, served.server);
  CHECK(has_line(text, "task_executor_tasks{state=\"waiting\",reason=\"Initialized\"} 1"));
  CHECK(has_line(text, "task_executor_tasks{state=\"running\",reason=\"\"} 1"));
  CHECK(has_line(text, "task_executor_tasks{state=\"terminated\",reason=\"Succeeded\"} 1"));
  CHECK(has_line(text, "task_executor_tasks_deleting 1"));
  CHECK(has_line(text, "task_executor_tasks_created_total 3"));
  CHECK(has_line(text, "task_executor_tasks_started_total 3"));
  CHECK(has_line(text, "task_executor_tasks_ended_total{reason=\"Succeeded\"} 1"));
  CHECK(has_line(text, "task_executor_tasks_ended_total{reason=\"Failed\"} 0"));
  CHECK(has_line(text, "task_executor_tasks_lost_total 0"));
  CHECK(has_line(text, "task_executor_create_to_durable_seconds_count 3"));
  CHECK(has_line(text, "task_executor_create_to_exec_seconds_count 2"));
  CHECK(has_line(text, "task_executor_exit_to_recorded_seconds_count 1"));
  CHECK(has_line(text, "task_executor_supervisors 3"));
  CHECK(has_line(text, "task_executor_records_watched 1"));
  CHECK(has_line(text, "task_executor_watchers 4"));
  CHECK(has_line(text, "task_executor_log_followers 5"));
  CHECK(has_line(text, "task_executor_build_info{version=\"x\"} 1"));
}

TEST_CASE_FIXTURE(Tidy, "metrics: histograms are cumulative, in seconds") {
  const test::Served served;
  const fake::World world;
  Histogram turns;
  turns.add(40 * 1'000);  // 40 µs
  turns.add(50 * 1'000);  // on the bound: within
  turns.add(51 * 1'000);
  turns.add(2 * kSecond);
  turns.add(1000 * kSecond);  // above all bounds
  const std::string text = written(*world.manager, served.server, turns);
  const std::string name = "task_executor_loop_turn_seconds";
  CHECK(has_line(text, name + "_bucket{le=\"0.000050\"} 2"));
  CHECK(has_line(text, name + "_bucket{le=\"0.000100\"} 3"));
  CHECK(has_line(text, name + "_bucket{le=\"1.000000\"} 3"));
  CHECK(has_line(text, name + "_bucket{le=\"2.500000\"} 4"));
  CHECK(has_line(text, name + "_bucket{le=\"10.000000\"} 4"));
  CHECK(has_line(text, name + "_bucket{le=\"+Inf\"} 5"));
  CHECK(has_line(text, name + "_sum 1002.000141"));
  CHECK(has_line(text, name + "_count 5"));
  CHECK(has_line(text, "task_executor_store_write_seconds_count 0"));
}

TEST_CASE_FIXTURE(Tidy, "metrics: a time below zero, as after a clock was set back, is told as none") {
  const test::Served served;
  const fake::World world;
  Histogram turns;
  turns.sum = -1'500'000;
  CHECK(has_line(written(*world.manager, served.server, turns), "task_executor_loop_turn_seconds_sum 0.000000"));
}

TEST_CASE_FIXTURE(Tidy, "metrics: the container runtime, where there may be one") {
  const test::Served served;
  const fake::World world;
  CHECK(written(*world.manager, served.server).find("task_executor_cri_") == std::string::npos);
  const std::string text = written(*world.manager, served.server, {}, {}, runtime_figures());
  CHECK(has_line(text, R"(task_executor_cri_calls_total{method="Version",code="OK"} 3)"));
  CHECK(has_line(text, R"(task_executor_cri_calls_total{method="PullImage",code="NOT_FOUND"} 1)"));
  CHECK(has_line(text, "task_executor_cri_calls 7"));
  CHECK(has_line(text, "task_executor_cri_connected 1"));
  CHECK(has_line(text, "task_executor_cri_connects_total 3"));
  CHECK(has_line(text, "task_executor_cri_disconnects_total 2"));
}

TEST_CASE_FIXTURE(Tidy, "metrics: requests and connections of the server") {
  test::Served served;
  const fake::World world;
  test::Client client(served);
  client.get("/");
  CHECK(client.short_answer().starts_with("200"));
  const std::string text = written(*world.manager, served.server);
  CHECK(has_line(text, "task_executor_http_requests_total{route=\"\",code=\"200\"} 1"));
  CHECK(has_line(text, "task_executor_http_connections 1"));
}
