#include "app/agent.h"

#include <signal.h>

#include <algorithm>
#include <unordered_set>

#include "sys/clock.h"
#include "sys/credentials.h"
#include "sys/service_manager.h"
#include "sys/small_wait.h"
#include "sys/supervise.h"
#include "version.h"
#include "wire/json_writer.h"

namespace te {

namespace {

constexpr MonoNanos kLastAnswers = 5 * kSecond;  ///< what clients have to read their answers when the agent stops

std::string version_json() {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("version").string(kVersion).key("revision").string(kRevision);
  json.key("compiler").string(__VERSION__).end_object();
  return text;
}

std::string build_labels() {
  std::string text("version=\"");
  return text.append(kVersion).append("\",revision=\"").append(kRevision).append("\"");
}

}  // namespace

/// Tells the service manager, twice in the time that it gives, that the loop turns.
class Watchdog final : private TimerHandler {
 public:
  Watchdog(Reactor& reactor, MonoNanos interval)
      : reactor_(reactor), interval_(interval / 2), timer_(reactor, static_cast<TimerHandler&>(*this)) {
    timer_.set(reactor_.now() + interval_);
  }

 private:
  void on_timer() override {
    sys::notify_service_manager("WATCHDOG=1");
    timer_.set(reactor_.now() + interval_);
  }

  Reactor& reactor_;
  MonoNanos interval_;
  Timer timer_;
};

Agent::Agent(Config config, const Clock& clock, Log& log) : config_(std::move(config)), clock_(clock), log_(log) {}

Agent::~Agent() {
  if (keeper_ != nullptr && !containers_->busy()) keeper_->drop();
}

Result<void> Agent::build() {
  config_.data_dir = TRY(sys::absolute_path(config_.data_dir));
  // Without it (CONFIG_PROC_CHILDREN) what tasks leave behind could not be seen, and would live on.
  TRY(sys::open_at(AT_FDCWD, "/proc/thread-self/children", O_RDONLY));
  reactor_ = std::make_unique<Reactor>(TRY(Reactor::create()));
  reactor_->set_before_sleep(*this);
  timer_ = std::make_unique<Timer>(*reactor_, static_cast<TimerHandler&>(*this));
  signals_ = std::make_unique<SignalWatch>(static_cast<SignalHandler&>(*this));
  TRY(signals_->start(*reactor_, {SIGTERM, SIGINT, SIGHUP}));
  if (sys::self_pid() == 1) TRY(watch_orphans());
  store_ = TRY(FileStore::open(config_.data_dir, clock_, log_));

  const sys::OpenFileLimits limits = sys::raise_open_file_limit();
  TRY(build_runtimes(limits));

  TaskApiOptions api_options;
  api_options.spec.sidecar_mode = config_.sidecar_mode;
  api_options.spec.container_mode = config_.container_mode;
  api_options.spec.registry_auth = !config_.registry_auth_file.empty();
  for (const NamedVolume& volume : config_.volumes) api_options.spec.volumes.push_back(volume.name);
  api_options.data_dir = config_.data_dir;
  api_options.data_root = store_->root();
  api_options.logs_bounded = config_.manager.log_max_bytes > 0;
  api_options.version_json = version_json();
  api_options.build_labels = build_labels();
  if (!config_.auth_token_file.empty()) api_options.token = TRY(TokenFile::open(config_.auth_token_file));
  api_ = std::make_unique<TaskApi>(std::move(api_options), static_cast<Readiness&>(*this), clock_);
  manager_ = std::make_unique<Manager>(config_.manager, *store_, *runtime_, *api_, clock_, log_);
  TRY(processes_->open(*manager_));
  containers_->open(*manager_);
  HttpServerOptions server_options;
  server_options.max_body_bytes = static_cast<size_t>(config_.max_body_bytes);
  server_options.allowed_uids = config_.allowed_uids;
  // Half of the descriptors are for tasks, however many clients there are.
  server_options.max_connections = std::min<uint64_t>(server_options.max_connections, limits.hard / 2);
  server_ = std::make_unique<HttpServer>(*reactor_, *api_, clock_, log_, server_options);
  api_->bind(*manager_, *server_, *reactor_);
  return {};
}

Result<void> Agent::build_runtimes(const sys::OpenFileLimits& limits) {
  ProcessRuntimeOptions runtime_options;
  runtime_options.data_dir = config_.data_dir;
  runtime_options.root = store_->root();
  runtime_options.trash = &store_->trash();
  runtime_options.limits = {limits.soft, limits.hard};
  runtime_options.starts_at_once = std::max<size_t>(4, 2 * sys::usable_processors());
  if (config_.sidecar_mode) {
    preflight_ = std::make_unique<Preflight>(config_.main_container_name, TRY(sys::program_of_self()));
    preflight_->report(log_);
    runtime_options.sidecar = {true, config_.main_container_name, config_.sidecar_agent_user, preflight_->program()};
  }
  processes_ = std::make_unique<ProcessRuntime>(*reactor_, log_, std::move(runtime_options),
                                                BaseEnvironment(sys::environment()));

  keeper_ = std::make_unique<ConnectionKeeper>(*reactor_, log_);
  // There without container mode too: what an earlier agent has begun is looked after whatever the flags are.
  PodSettings settings;
  settings.data_dir = config_.data_dir;
  settings.root = store_->root();
  settings.volumes = config_.volumes;
  settings.host_network = config_.container_host_network;
  settings.registry_auth_file = config_.registry_auth_file;
  settings.tick = config_.manager.tick_interval;
  containers_ =
      std::make_unique<ContainerRuntime>(std::move(settings), static_cast<CriConnector&>(*this), *store_, clock_, log_);
  runtime_ = std::make_unique<TaskRouter>(*processes_, *containers_);
  return {};
}

cri::Client& Agent::connect(cri::RuntimeObserver& observer) {
  if (cri_ == nullptr) {
    if (cri_figures_ == nullptr) cri_figures_ = std::make_unique<cri::ClientFigures>();
    cri::GrpcClientOptions options;
    options.figures = cri_figures_.get();
    options.channel.socket_path = config_.cri_socket;
    options.patience = config_.cri_timeout;
    options.channel.sockets = keeper_.get();
    cri_ = std::make_unique<cri::GrpcClient>(*reactor_, std::move(options), observer);
    cri_->start();
  }
  return *cri_;
}

void Agent::release() {
  cri_.reset();
  keeper_->drop();
}

std::optional<RuntimeFigures> Agent::container_runtime() const {
  if (!config_.container_mode && cri_figures_ == nullptr) return std::nullopt;
  RuntimeFigures out;
  for (size_t i = 0; i < cri::ClientFigures::kMethods; ++i) {
    const auto method = static_cast<cri::Method>(i);
    for (size_t j = 0; j < cri::ClientFigures::kCodes; ++j) {
      const auto code = static_cast<GrpcCode>(j);
      const uint64_t count = cri_figures_ ? cri_figures_->ended(method, code) : 0;
      // One is always there, so that a query finds a zero and not nothing.
      const bool always = method == cri::Method::kVersion && code == GrpcCode::kOk;
      if (count > 0 || always) out.ended.push_back({cri::method_name(method), grpc_code_name(code), count});
    }
  }
  if (cri_figures_ != nullptr) {
    out.connects = cri_figures_->connects;
    out.disconnects = cri_figures_->disconnects;
  }
  if (cri_ != nullptr) {
    out.connected = cri_->runtime() != nullptr;
    out.in_flight = cri_->calls();
  }
  return out;
}

// Where no connection is held, one is tried: somebody has to be there.
Result<void> Agent::container_runtime_ready() {
  if (cri_ == nullptr) {
    const Result<Fd> tried = sys::connect_to("unix:" + config_.cri_socket, 0);
    if (tried || tried.error().code == EAGAIN) return {};
    return invalid("container runtime: " + tried.error().text());
  }
  if (cri_->runtime() != nullptr) return {};
  return invalid("container runtime: " + std::string(cri_->trouble()));
}

// Under systemd's socket activation the passed sockets stand for the addresses.
Result<std::vector<sys::Listener>> Agent::listen() {
  std::vector<sys::Listener> listeners = sys::passed_listeners();
  if (!listeners.empty()) return listeners;
  for (const std::string& address : config_.listen_addresses)
    listeners.push_back(TRY(sys::listen_on(address, config_.allowed_uids)));
  return listeners;
}

// Where a postStop hook may be due, which waits until nothing of its task is left.
Result<void> Agent::look_for_quiet_ones(std::vector<Recovered>& found) {
  const auto may_wait = [](const Recovered& one) {
    return one.has_run && !one.locked && one.task->spec.process.post_stop != nullptr;
  };
  if (std::ranges::none_of(found, may_wait)) return {};
  const std::vector<std::string> marks = TRY(living_marks());
  const std::unordered_set<std::string_view> marked(marks.begin(), marks.end());
  for (Recovered& one : found) one.quiet = may_wait(one) && !marked.contains(one.task->uid.view());
  return {};
}

Result<void> Agent::recover() {
  std::vector<Recovered> found = TRY(store_->scan());
  const size_t count = found.size();
  const auto ended = std::ranges::count_if(found, [](const Recovered& one) { return one.ended; });
  TRY(look_for_quiet_ones(found));
  manager_->recover(std::move(found));
  TRY(reactor_->turn(false));  // what recovery has queued makes no event
  while (!manager_->settled() && reactor_->running()) TRY(reactor_->turn(true));
  if (!store_->trash_is_empty()) runtime_->empty_trash();
  recovered_ = true;
  if (count > 0) log_.info("tasks taken up", {{"tasks", count}, {"ended", ended}});
  return {};
}

Result<void> Agent::open_doors(std::vector<sys::Listener> listeners) {
  for (sys::Listener& listener : listeners) {
    if (!listener.loopback && config_.auth_token_file.empty()) {
      log_.warning("whoever reaches this address may run commands: no --auth-token-file",
                   {{"address", listener.address}});
    }
    log_.info("listening", {{"address", listener.address}});
    TRY(server_->add_listener(std::move(listener)));
  }
  return {};
}

Result<void> Agent::run() {
  TRY(build());
  std::vector<sys::Listener> listeners = TRY(listen());
  TRY(recover());
  if (!reactor_->running()) return {};
  TRY(open_doors(std::move(listeners)));
  sys::notify_service_manager("READY=1\nSTATUS=Taking tasks");
  if (const MonoNanos interval = sys::watchdog_interval(); interval > 0) {
    watchdog_ = std::make_unique<Watchdog>(*reactor_, interval);
  }
  sys::drop_program_pages();  // of reading flags, of recovery: an idle agent needs a third of them
  return reactor_->run();
}

bool Agent::before_sleep() {
  bool more = manager_->step();
  if (api_->end_turn()) more = true;
  server_->end_turn();
  trim_after_crowd();
  if (orphan_signals_ == nullptr && processes_->strays_possible()) (void)watch_orphans().ok();
  if (orphans_due_ && reap_orphans()) more = true;
  const bool tasks_done = !stop_tasks_ || !manager_->anything_running();
  if (shutting_down_ && server_->all_closed() && tasks_done) reactor_->stop();
  const MonoNanos next = std::min({manager_->next_deadline(), containers_->next_deadline(), give_up_at_});
  if (next == kNever) {
    timer_->cancel();
  } else if (!timer_->armed() || timer_->deadline() != next) {
    timer_->set(next);
  }
  const MonoNanos durable = store_->durable_time();
  turns_.add(std::max<MonoNanos>(0, sys::mono_now() - reactor_->now() - (durable - durable_before_)));
  durable_before_ = durable;
  return more;
}

void Agent::on_timer() {
  manager_->tick();
  containers_->tick();
  if (clock_.mono() < give_up_at_) return;
  give_up_at_ = kNever;
  log_.warning("clients that do not read their answers are left");
  server_->abandon_all();
}

// What a crowd has freed lies between things that live, where free() leaves it.
void Agent::trim_after_crowd() {
  constexpr size_t kCrowd = 512;
  constexpr size_t kShareLeft = 8;
  const size_t now = manager_->size() + server_->connections();
  crowd_ = std::max(crowd_, now);
  if (crowd_ < kCrowd || now > crowd_ / kShareLeft) return;
  crowd_ = now;
  sys::trim_heap();
}

// From then on each end of a child costs a look at it.
Result<void> Agent::watch_orphans() {
  auto watch = std::make_unique<SignalWatch>(static_cast<SignalHandler&>(*this));
  TRY(watch->start(*reactor_, {SIGCHLD}));
  orphan_signals_ = std::move(watch);
  orphans_due_ = true;
  return {};
}

// As process 1 the agent inherits every orphan. Only ends that nobody waits for are taken; one of ours stands in their
// way until its own handler has reaped it in the next turn. True: look again then.
bool Agent::reap_orphans() {
  constexpr int kMost = 64;
  for (int looks = 0; looks < kMost; ++looks) {
    const std::optional<int32_t> pid = sys::peek_ended_child();
    orphans_due_ = pid.has_value();
    if (!pid || processes_->awaits(*pid) || keeper_->awaits(*pid)) break;
    (void)sys::reap_child(*pid).ok();
  }
  return orphans_due_;
}

void Agent::on_signal(int signal) {
  if (signal == SIGCHLD) {
    orphans_due_ = true;
    return;
  }
  if (signal == SIGHUP) {
    log_.reopen();
    log_.info("log file opened again");
    return;
  }
  if (shutting_down_ || !recovered_) return reactor_->stop();
  shut_down(signal);
}

void Agent::shut_down(int signal) {
  shutting_down_ = true;
  sys::notify_service_manager("STOPPING=1\nSTATUS=Stopping");
  stop_tasks_ = config_.on_shutdown == OnShutdown::kStop ||
                (config_.on_shutdown == OnShutdown::kAuto && sys::is_container_init());
  log_.info("stopping", {{"signal", signal}, {"tasks", stop_tasks_ ? "stopped too" : "kept"}});
  give_up_at_ = clock_.mono() + kLastAnswers;
  if (stop_tasks_) manager_->stop_all();
  server_->begin_shutdown();
}

// Written and synced for real: no other way tells whether the disk would take a task. But not for each one who asks.
Result<void> Agent::ready() {
  constexpr MonoNanos kProbeLasts = kSecond;
  if (preflight_ != nullptr) TRY(preflight_->ready());
  if (config_.container_mode) TRY(container_runtime_ready());
  if (clock_.mono() - probed_at_ > kProbeLasts) {
    probed_ = store_->probe();
    probed_at_ = clock_.mono();
  }
  return probed_;
}

}  // namespace te
