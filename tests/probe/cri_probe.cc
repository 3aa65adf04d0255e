// Drives src/cri through the real reactor, for the system tests: commands in on stdin, JSON lines out on stdout.
//
//   cri_probe SOCKET [--timeout-ms=N] [--first-stream=N] [--max-message=N]
//
// A command is one line of tab-separated fields: its number, its name, then key=value. Each is answered by one line
// {"call":N,…}; what comes by itself says {"up":…}, {"down":…} or {"event":…}. "drop" gives up the call "of"; "quit" or
// the end of stdin ends the program.
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../verdict_name.h"
#include "base/text.h"
#include "cri/grpc_client.h"
#include "reactor/reactor.h"
#include "wire/json_writer.h"

namespace {

using namespace te;
using namespace te::cri;

void print(std::string line) {
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t count = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (count <= 0) ::_exit(3);
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

class Command {
 public:
  explicit Command(std::string_view line) {
    while (!line.empty()) {
      const size_t tab = line.find('\t');
      fields_.emplace_back(line.substr(0, tab));
      line.remove_prefix(tab == std::string_view::npos ? line.size() : tab + 1);
    }
    fields_.resize(std::max<size_t>(fields_.size(), 2));
  }
  int64_t number() const { return parse_int(fields_[0]).value_or(0); }
  const std::string& name() const { return fields_[1]; }

  std::vector<std::string> all(std::string_view key) const {
    std::vector<std::string> out;
    for (const std::string& field : fields_) {
      if (field.size() > key.size() && field.starts_with(key) && field[key.size()] == '=') {
        out.push_back(field.substr(key.size() + 1));
      }
    }
    return out;
  }
  std::string get(std::string_view key) const {
    const std::vector<std::string> values = all(key);
    return values.empty() ? std::string() : values.front();
  }
  int64_t integer(std::string_view key) const { return parse_int(get(key)).value_or(0); }
  Labels labels(std::string_view key) const {
    Labels out;
    for (const std::string& one : all(key)) {
      const size_t equals = one.find('=');
      out.push_back({one.substr(0, equals), equals == std::string::npos ? "" : one.substr(equals + 1)});
    }
    return out;
  }

 private:
  std::vector<std::string> fields_;
};

SandboxConfig sandbox_config(const Command& command) {
  SandboxConfig config;
  config.metadata.name = command.get("pod");
  config.metadata.uid = command.get("uid");
  config.metadata.name_space = "probe";
  config.metadata.attempt = static_cast<uint32_t>(command.integer("attempt"));
  config.log_directory = command.get("log_dir");
  config.labels = command.labels("label");
  config.namespaces.network = command.get("network") == "pod" ? NamespaceMode::kPod : NamespaceMode::kNode;
  if (config.namespaces.network == NamespaceMode::kPod) config.hostname = command.get("pod");
  return config;
}

ContainerConfig container_config(const Command& command) {
  ContainerConfig config;
  config.name = command.get("name");
  config.image = command.get("image");
  config.command = command.all("command");
  config.args = command.all("arg");
  config.log_path = command.get("log");
  config.labels = command.labels("label");
  config.security.namespaces.network = NamespaceMode::kNode;
  for (const Label& one : command.labels("env")) config.envs.push_back({one.key, one.value});
  for (const Label& one : command.labels("mount")) config.mounts.push_back({one.key, one.value, false, {}});
  return config;
}

class Probe final : private IoHandler,
                    private RuntimeObserver,
                    private EventHandler,
                    private Handler<ListPodSandboxResponse>,
                    private Handler<ListContainersResponse>,
                    private Handler<ImageStatusResponse>,
                    private Handler<PullImageResponse>,
                    private Handler<RunPodSandboxResponse>,
                    private Handler<CreateContainerResponse>,
                    private Handler<StartContainerResponse>,
                    private Handler<ContainerStatusResponse>,
                    private Handler<ContainerStatsResponse>,
                    private Handler<StopContainerResponse>,
                    private Handler<RemoveContainerResponse>,
                    private Handler<StopPodSandboxResponse>,
                    private Handler<RemovePodSandboxResponse> {
 public:
  Probe(Reactor& reactor, GrpcClientOptions options) : reactor_(reactor), client_(reactor, std::move(options), *this) {}

  Result<void> start() {
    watch_ = TRY(reactor_.watch(STDIN_FILENO, EPOLLIN, *this));
    client_.start();
    return {};
  }

 private:
  void on_io(uint32_t) override {
    std::array<char, 65'536> piece;
    const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (count <= 0) {
      reactor_.stop();
      return;
    }
    input_.append(piece.data(), static_cast<size_t>(count));
    for (size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      const Command command(std::string_view(input_).substr(0, end));
      input_.erase(0, end + 1);
      run(command);
    }
  }

  void run(const Command& command) {
    const std::string& name = command.name();
    if (name == "quit") {
      reactor_.stop();
    } else if (name == "drop") {
      drop(command.integer("of"));
    } else if (std::optional<Call> call = make(command)) {
      numbers_[call->id()] = command.number();
      calls_[command.number()] = std::move(*call);
    } else {
      print("{\"call\":" + std::to_string(command.number()) + ",\"error\":\"no such command\"}");
    }
  }

  std::optional<Call> make(const Command& command) {
    const std::string& name = command.name();
    const std::string id = command.get("id");
    if (name == "list_sandboxes") return client_.list_pod_sandbox({id, {}, command.labels("label")}, *this);
    if (name == "list")
      return client_.list_containers({id, {}, command.get("sandbox"), command.labels("label")}, *this);
    if (name == "image") return client_.image_status({command.get("image")}, *this);
    if (name == "pull") {
      PullImageRequest request;
      request.image = command.get("image");
      if (!command.get("user").empty()) {
        request.auth.emplace();
        request.auth->username = command.get("user");
        request.auth->password = command.get("password");
      }
      return client_.pull_image(request, *this);
    }
    if (name == "run") return client_.run_pod_sandbox({sandbox_config(command), {}}, *this);
    if (name == "create") {
      return client_.create_container({command.get("sandbox"), container_config(command), sandbox_config(command)},
                                      *this);
    }
    if (name == "start") return client_.start_container({id}, *this);
    if (name == "status") return client_.container_status({id}, *this);
    if (name == "stats") return client_.container_stats({id}, *this);
    if (name == "stop") return client_.stop_container({id, command.integer("grace")}, *this);
    if (name == "remove") return client_.remove_container({id}, *this);
    if (name == "stop_sandbox") return client_.stop_pod_sandbox({id}, *this);
    if (name == "remove_sandbox") return client_.remove_pod_sandbox({id}, *this);
    if (name == "events") return client_.watch_events(*this);
    return std::nullopt;
  }

  void drop(int64_t number) {
    calls_.erase(number);
    print("{\"dropped\":" + std::to_string(number) + "}");
  }

  int64_t finish(CallId call) {
    const int64_t number = numbers_[call];
    numbers_.erase(call);
    calls_.erase(number);
    return number;
  }

  static void put(JsonWriter& out, std::string_view key, std::string_view value) { out.key(key).string(value); }
  static void put(JsonWriter& out, std::string_view key, int64_t value) { out.key(key).number(value); }
  static void put(JsonWriter& out, std::string_view key, const Labels& labels) {
    out.key(key).begin_object();
    for (const Label& label : labels) out.key(label.key).string(label.value);
    out.end_object();
  }

  static void put_failure(JsonWriter& out, const Failure& failure) {
    constexpr std::array<std::string_view, 4> kOrigins = {"server", "not sent", "lost", "local"};
    out.key("failure").begin_object();
    put(out, "verdict", verdict_name(failure.verdict));
    put(out, "code", grpc_code_name(failure.status.code));
    put(out, "origin", kOrigins[static_cast<size_t>(failure.status.origin)]);
    put(out, "message", failure.status.message);
    put(out, "text", failure.text());
    out.end_object();
  }

  /// One line for one outcome; `body` writes the answer's fields.
  template <class Response, class Body>
  void tell(CallId call, const Outcome<Response>& outcome, Body body) {
    std::string line;
    JsonWriter out(line);
    out.begin_object();
    put(out, "call", finish(call));
    if (outcome.ok()) {
      body(out, outcome.response);
    } else {
      put_failure(out, *outcome.failure);
    }
    out.end_object();
    print(std::move(line));
  }
  template <class Response>
  void tell(CallId call, const Outcome<Response>& outcome) {
    tell(call, outcome, [](JsonWriter&, const Response&) {});
  }

  void on_reply(CallId call, Outcome<ListPodSandboxResponse>& outcome) override {
    tell(call, outcome, [](JsonWriter& out, const ListPodSandboxResponse& response) {
      out.key("items").begin_array();
      for (const SandboxSummary& item : response.items) {
        out.begin_object();
        put(out, "id", item.id);
        put(out, "name", item.metadata.name);
        put(out, "uid", item.metadata.uid);
        put(out, "namespace", item.metadata.name_space);
        put(out, "attempt", item.metadata.attempt);
        put(out, "state", item.state == SandboxState::kReady ? "READY" : "NOTREADY");
        put(out, "created_at", item.created_at_ns);
        put(out, "labels", item.labels);
        out.end_object();
      }
      out.end_array();
    });
  }
  void on_reply(CallId call, Outcome<ListContainersResponse>& outcome) override {
    tell(call, outcome, [](JsonWriter& out, const ListContainersResponse& response) {
      out.key("items").begin_array();
      for (const ContainerSummary& item : response.containers) {
        out.begin_object();
        put(out, "id", item.id);
        put(out, "sandbox", item.pod_sandbox_id);
        put(out, "name", item.name);
        put(out, "attempt", item.attempt);
        put(out, "state", kStates[static_cast<size_t>(item.state)]);
        put(out, "created_at", item.created_at_ns);
        put(out, "labels", item.labels);
        out.end_object();
      }
      out.end_array();
    });
  }
  void on_reply(CallId call, Outcome<ImageStatusResponse>& outcome) override {
    tell(call, outcome, [](JsonWriter& out, const ImageStatusResponse& response) {
      if (!response.image) return;
      put(out, "id", response.image->id);
      put(out, "username", response.image->username);
      put(out, "uid", response.image->uid.value_or(-1));
      out.key("tags").begin_array();
      for (const std::string& tag : response.image->repo_tags) out.string(tag);
      out.end_array();
    });
  }
  void on_reply(CallId call, Outcome<PullImageResponse>& outcome) override {
    tell(call, outcome,
         [](JsonWriter& out, const PullImageResponse& response) { put(out, "ref", response.image_ref); });
  }
  void on_reply(CallId call, Outcome<RunPodSandboxResponse>& outcome) override {
    tell(call, outcome,
         [](JsonWriter& out, const RunPodSandboxResponse& response) { put(out, "id", response.pod_sandbox_id); });
  }
  void on_reply(CallId call, Outcome<CreateContainerResponse>& outcome) override {
    tell(call, outcome,
         [](JsonWriter& out, const CreateContainerResponse& response) { put(out, "id", response.container_id); });
  }
  void on_reply(CallId call, Outcome<ContainerStatusResponse>& outcome) override {
    tell(call, outcome, [](JsonWriter& out, const ContainerStatusResponse& response) {
      const ContainerStatus& status = response.status;
      put(out, "id", status.id);
      put(out, "name", status.name);
      put(out, "attempt", status.attempt);
      put(out, "state", kStates[static_cast<size_t>(status.state)]);
      put(out, "created_at", status.created_at_ns);
      put(out, "started_at", status.started_at_ns);
      put(out, "finished_at", status.finished_at_ns);
      put(out, "exit_code", status.exit_code);
      put(out, "image", status.image);
      put(out, "image_ref", status.image_ref);
      put(out, "reason", status.reason);
      put(out, "message", status.message);
      put(out, "log_path", status.log_path);
      put(out, "labels", status.labels);
    });
  }
  void on_reply(CallId call, Outcome<ContainerStatsResponse>& outcome) override {
    tell(call, outcome, [](JsonWriter& out, const ContainerStatsResponse& response) {
      put(out, "cpu_nanos", static_cast<int64_t>(response.cpu_nanos.value_or(0)));
      put(out, "working_set", static_cast<int64_t>(response.working_set_bytes.value_or(0)));
      put(out, "usage", static_cast<int64_t>(response.usage_bytes.value_or(0)));
      put(out, "rss", static_cast<int64_t>(response.rss_bytes.value_or(0)));
    });
  }
  void on_reply(CallId call, Outcome<StartContainerResponse>& outcome) override { tell(call, outcome); }
  void on_reply(CallId call, Outcome<StopContainerResponse>& outcome) override { tell(call, outcome); }
  void on_reply(CallId call, Outcome<RemoveContainerResponse>& outcome) override { tell(call, outcome); }
  void on_reply(CallId call, Outcome<StopPodSandboxResponse>& outcome) override { tell(call, outcome); }
  void on_reply(CallId call, Outcome<RemovePodSandboxResponse>& outcome) override { tell(call, outcome); }

  void on_container_event(const ContainerEvent& event) override {
    std::string line;
    JsonWriter out(line);
    out.begin_object();
    put(out, "event", event.container_id);
    put(out, "type", static_cast<int64_t>(event.type));
    put(out, "at", event.created_at_ns);
    out.end_object();
    print(std::move(line));
  }
  void on_events_end(const Failure& failure) override {
    std::string line;
    JsonWriter out(line);
    out.begin_object();
    put(out, "events_end", 1);
    put_failure(out, failure);
    out.end_object();
    print(std::move(line));
  }

  void on_runtime_up(const VersionResponse& runtime) override {
    std::string line;
    JsonWriter out(line);
    out.begin_object();
    put(out, "up", runtime.runtime_name);
    put(out, "version", runtime.runtime_version);
    put(out, "api", runtime.runtime_api_version);
    put(out, "broadcasts", broadcasts_events(runtime) ? 1 : 0);
    out.end_object();
    print(std::move(line));
  }
  void on_runtime_down(std::string_view why) override {
    std::string line;
    JsonWriter out(line);
    out.begin_object();
    put(out, "down", why);
    out.end_object();
    print(std::move(line));
  }

  static constexpr std::array<std::string_view, 4> kStates = {"CREATED", "RUNNING", "EXITED", "UNKNOWN"};

  Reactor& reactor_;
  Watch watch_;
  std::string input_;
  GrpcClient client_;
  std::map<CallId, int64_t> numbers_;
  std::map<int64_t, Call> calls_;
};

int64_t option(int argc, char** argv, std::string_view name, int64_t otherwise) {
  for (int i = 2; i < argc; ++i) {
    const std::string_view text = argv[i];
    if (text.starts_with(name)) return parse_int(text.substr(name.size())).value_or(otherwise);
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  GrpcClientOptions options;
  options.channel.socket_path = argv[1];
  options.channel.http2.first_stream = static_cast<uint32_t>(option(argc, argv, "--first-stream=", 1));
  options.channel.max_message = static_cast<size_t>(option(argc, argv, "--max-message=", 16 * kMiB));
  const int64_t timeout = option(argc, argv, "--timeout-ms=", 0);
  if (timeout > 0) options.patience = timeout * kMillisecond;
  Result<Reactor> reactor = Reactor::create();
  if (!reactor) return 1;
  Probe probe(*reactor, std::move(options));
  if (!probe.start()) return 1;
  return reactor->run() ? 0 : 1;
}
