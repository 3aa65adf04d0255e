#include "api/metrics.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "base/text.h"
#include "sys/self.h"
#include "task/status.h"

namespace te {

namespace {

void describe(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  using Parts = std::initializer_list<std::string_view>;
  for (const std::string_view part : Parts{"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"}) out += part;
}

void sample(std::string& out, std::string_view name, std::string_view labels, int64_t value) {
  out += name;
  out += labels;
  out += ' ';
  append_int(out, value);
  out += '\n';
}

void number(std::string& out, std::string_view name, std::string_view type, std::string_view help, uint64_t value) {
  describe(out, name, type, help);
  sample(out, name, "", static_cast<int64_t>(value));
}

/// Seconds with six decimals, from microseconds; what a clock that was set back makes of them is none.
void append_seconds(std::string& out, int64_t us) {
  us = std::max<int64_t>(0, us);
  append_int(out, us / 1'000'000);
  std::string decimals = std::to_string(us % 1'000'000);
  out += '.';
  out.append(6 - decimals.size(), '0');
  out += decimals;
}

void histogram(std::string& out, std::string_view name, std::string_view help, const Histogram& values) {
  describe(out, name, "histogram", help);
  uint64_t below = 0;
  for (size_t i = 0; i <= kHistogramBoundsUs.size(); ++i) {
    below += values.counts[i];
    out += name;
    out += "_bucket{le=\"";
    if (i == kHistogramBoundsUs.size()) {
      out += "+Inf";
    } else {
      append_seconds(out, kHistogramBoundsUs[i]);
    }
    sample(out, "\"}", "", static_cast<int64_t>(below));
  }
  out += name;
  out += "_sum ";
  append_seconds(out, values.sum / 1'000);
  out += '\n';
  out += name;
  sample(out, "_count", "", static_cast<int64_t>(values.total));
}

std::string_view state_name(TaskPhase phase) {
  switch (phase) {
    case TaskPhase::kAccepted:
    case TaskPhase::kQueued:
    case TaskPhase::kStarting: return "waiting";
    case TaskPhase::kRunning: return "running";
    case TaskPhase::kEnded: return "terminated";
  }
  return "";
}

struct TaskCount {
  std::string_view state;
  std::string_view reason;
  int64_t count;
};

void tasks_by_state(std::string& out, const Manager& manager) {
  // These are always there, so that a query finds a zero and not nothing.
  std::vector<TaskCount> counts = {{"waiting", "Initialized", 0}, {"waiting", "Queued", 0}, {"running", "", 0}};
  uint64_t deleting = 0;
  uint64_t leftover = 0;
  for (const Task* task : manager.list()) {
    if (task->deleting()) ++deleting;
    leftover += task->leftover;
    const TaskCount key{state_name(task->phase), reason_of(*task), 1};
    const auto at = std::ranges::find_if(
        counts, [&](const TaskCount& one) { return one.reason == key.reason && one.state == key.state; });
    if (at != counts.end()) {
      ++at->count;
    } else {
      counts.push_back(key);
    }
  }
  describe(out, "task_executor_tasks", "gauge", "Tasks by state and reason.");
  for (const TaskCount& one : counts) {
    std::string labels("{state=\"");
    labels.append(one.state).append("\",reason=\"").append(one.reason).append("\"}");
    sample(out, "task_executor_tasks", labels, one.count);
  }
  number(out, "task_executor_tasks_deleting", "gauge", "Tasks that are being deleted, in whatever state.", deleting);
  number(out, "task_executor_leftover_processes", "gauge", "Processes that tasks left running when they ended.",
         leftover);
}

void requests(std::string& out, const RequestCounts& counts) {
  describe(out, "task_executor_http_requests_total", "counter",
           "Requests by route and status; the route is empty where the request was refused before it was known.");
  for (size_t route = 0; route < kRouteNames.size(); ++route) {
    for (size_t status = 0; status < RequestCounts::kStatuses.size(); ++status) {
      const uint64_t count = counts.count(route, status);
      const bool always = route == static_cast<size_t>(Route::kHealth) && RequestCounts::kStatuses[status] == 200;
      if (count == 0 && !always) continue;
      std::string labels("{route=\"");
      labels.append(kRouteNames[route]).append("\",code=\"");
      append_int(labels, RequestCounts::kStatuses[status]);
      labels += "\"}";
      sample(out, "task_executor_http_requests_total", labels, static_cast<int64_t>(count));
    }
  }
}

void ends(std::string& out, const ManagerCounters& counters) {
  describe(out, "task_executor_tasks_ended_total", "counter", "Ends of tasks that this agent has seen, by reason.");
  std::vector<ManagerCounters::Ends> all = counters.ended_by_reason;
  for (const std::string_view reason : {"Succeeded", "Failed"}) {
    const bool there = std::ranges::any_of(all, [&](const auto& one) { return one.reason == reason; });
    if (!there) all.push_back({reason, 0});
  }
  for (const ManagerCounters::Ends& one : all) {
    std::string labels("{reason=\"");
    labels.append(one.reason).append("\"}");
    sample(out, "task_executor_tasks_ended_total", labels, static_cast<int64_t>(one.count));
  }
}

void container_runtime(std::string& out, const RuntimeFigures& runtime) {
  describe(out, "task_executor_cri_calls_total", "counter",
           "Calls to the container runtime that have ended, by method and gRPC code.");
  for (const RuntimeFigures::Calls& one : runtime.ended) {
    std::string labels("{method=\"");
    labels.append(one.method).append("\",code=\"").append(one.code).append("\"}");
    sample(out, "task_executor_cri_calls_total", labels, static_cast<int64_t>(one.count));
  }
  number(out, "task_executor_cri_calls", "gauge", "Calls to the container runtime that wait for their answer.",
         runtime.in_flight);
  number(out, "task_executor_cri_connected", "gauge",
         "1 while a connection to the container runtime is in use; it is given up when nothing needs it.",
         runtime.connected ? 1 : 0);
  number(out, "task_executor_cri_connects_total", "counter", "Connections on which the container runtime has answered.",
         runtime.connects);
  number(out, "task_executor_cri_disconnects_total", "counter",
         "Connections that were lost, or that the container runtime took out of use.", runtime.disconnects);
}

void seconds(std::string& out, std::string_view name, std::string_view type, std::string_view help, int64_t us) {
  describe(out, name, type, help);
  out += name;
  out += ' ';
  append_seconds(out, us);
  out += '\n';
}

// The names that Prometheus' own client libraries use.
void process(std::string& out) {
  const sys::ProcessFigures figures = sys::process_figures();
  const auto gauge = [&](std::string_view name, std::string_view help, int64_t value) {
    number(out, name, "gauge", help, static_cast<uint64_t>(value));
  };
  seconds(out, "process_cpu_seconds_total", "counter", "Processor time of the agent.", figures.cpu_us);
  seconds(out, "process_start_time_seconds", "gauge", "Start of the agent, since 1970.", figures.started_at_us);
  gauge("process_resident_memory_bytes", "Resident memory of the agent.", figures.resident_bytes);
  gauge("process_virtual_memory_bytes", "Virtual memory of the agent.", figures.virtual_bytes);
  gauge("process_open_fds", "Open descriptors of the agent.", figures.open_fds);
  gauge("process_max_fds", "Most descriptors that the agent may open.", figures.max_fds);
}

}  // namespace

void write_metrics(std::string& out, const MetricsView& view) {
  const ManagerCounters& counters = view.manager.counters();
  tasks_by_state(out, view.manager);
  number(out, "task_executor_tasks_created_total", "counter", "Tasks accepted.", counters.created);
  number(out, "task_executor_tasks_started_total", "counter", "Supervisors started.", counters.started);
  ends(out, counters);
  number(out, "task_executor_tasks_lost_total", "counter", "Supervisors that died without a record.", counters.lost);
  number(out, "task_executor_tasks_deleted_total", "counter", "Tasks gone.", counters.deleted);
  number(out, "task_executor_supervisors", "gauge", "Supervisors that the agent holds.", view.supervisors);
  number(out, "task_executor_records_watched", "gauge",
         "1 while inotify tells what supervisors record; 0: it can't be had, and the tick looks at it.",
         view.records_watched ? 1 : 0);
  histogram(out, "task_executor_create_to_durable_seconds", "From a task's acceptance to its being on disk.",
            counters.create_to_durable);
  histogram(out, "task_executor_create_to_exec_seconds", "From a task's acceptance to the exec of its command.",
            counters.create_to_exec);
  histogram(out, "task_executor_exit_to_recorded_seconds", "From a task's end to its record's being known.",
            counters.exit_to_recorded);
  number(out, "task_executor_store_errors_total", "counter", "Durable writes that failed.", counters.store_errors);
  histogram(out, "task_executor_store_write_seconds", "Durable writes of the state.", view.durable_writes);
  histogram(out, "task_executor_loop_turn_seconds", "Turns of the loop, without waiting and durable writes.",
            view.turns);
  requests(out, view.server.counts());
  number(out, "task_executor_http_connections", "gauge", "Connections open.", view.server.connections());
  number(out, "task_executor_watchers", "gauge", "Clients that watch the tasks.", view.watchers);
  number(out, "task_executor_log_followers", "gauge", "Clients that follow a log.", view.followers);
  if (view.runtime) container_runtime(out, *view.runtime);
  describe(out, "task_executor_build_info", "gauge", "A constant 1, with the facts about the build.");
  std::string labels("{");
  labels.append(view.build_labels).append("}");
  sample(out, "task_executor_build_info", labels, 1);
  process(out);
}

}  // namespace te
