#include "pods.h"

#include <algorithm>

#include "fingerprint.h"

namespace te::world {

namespace {

constexpr MonoNanos kReconnect = 200 * kMillisecond;
constexpr int kKilled = 137;
constexpr int kTerminated = 143;
constexpr int kUnknownCode = 255;

Behaviour behaviour_of(const Container& one) {
  return one.config.command.empty() ? Behaviour() : Behaviour::parse(one.config.command.front());
}

}  // namespace

uint64_t PodState::fingerprint() const {
  Fingerprint out;
  for (const auto& [id, one] : world.sandboxes) out.mix(id).mix(static_cast<uint64_t>(one.state));
  for (const auto& [id, one] : world.containers) {
    out.mix(id).mix(static_cast<uint64_t>(one.status.state)).mix(static_cast<uint64_t>(one.status.exit_code));
    for (const cri::Label& label : one.summary.labels) out.mix(label.value);
  }
  for (const auto& [name, image] : world.images) out.mix(name);
  return out.value();
}

cri::Client& Pods::connect(cri::RuntimeObserver& observer) {
  auto made = std::make_unique<fake::FakeCri>(state_.world);
  made->connected = false;
  made->chance = [this](cri::Method method) { return fault(method); };
  made->on_start = [this](Container& one) { start(one); };
  made->on_stop = [this](Container& one) { end(one, behaviour_of(one).deaf ? kKilled : kTerminated); };
  current_ = made.get();
  observer_ = &observer;
  up_due_ = true;
  connections_.push_back(std::move(made));
  return *current_;
}

void Pods::release() {
  current_ = nullptr;
  observer_ = nullptr;
  answers_at_ = kNever;
}

void Pods::hang_up() {
  while (current_ != nullptr && current_->waiting() > 0 && kernel_.events().chance("done")) current_->answer();
  release();
  connections_.clear();
}

void Pods::expect_answer() {
  if (current_ == nullptr || current_->waiting() == 0 || answers_at_ != kNever) return;
  answers_at_ = kernel_.mono() + (kernel_.mono() < gone_until_ ? kReconnect : kernel_.events().answers_in());
}

std::optional<fake::Fault> Pods::fault(cri::Method) {
  fake::Fault out;
  if (kernel_.mono() < gone_until_) {
    out.done = lost_ && kernel_.events().chance("done");
    return out;
  }
  if (!kernel_.events().chance("noanswer")) return std::nullopt;
  out.done = kernel_.events().chance("done");
  return out;
}

bool Pods::due() const {
  if (current_ == nullptr) return false;
  if (up_due_ && kernel_.mono() >= gone_until_) return true;
  return lost_ || (current_->waiting() > 0 && (answers_at_ == kNever || answers_at_ <= kernel_.mono()));
}

void Pods::deliver() {
  if (current_ == nullptr) return;
  if (lost_) {
    for (size_t left = current_->waiting(); left > 0; --left) current_->answer();
    lost_ = false;
    answers_at_ = kNever;
    if (current_ != nullptr) observer_->on_runtime_down("the runtime has gone");
  } else if (up_due_ && kernel_.mono() >= gone_until_) {
    up_due_ = false;
    current_->connected = true;
    observer_->on_runtime_up(current_->version);
  } else if (answers_at_ <= kernel_.mono()) {
    answers_at_ = kNever;
    current_->answer();
  }
  expect_answer();
}

void Pods::go_away(MonoNanos time) {
  gone_until_ = kernel_.mono() + time;
  if (current_ == nullptr) return;
  up_due_ = lost_ = true;
  current_->connected = false;
}

void Pods::start(Container& one) {
  one.status.started_at_ns = kernel_.wall() * 1'000;
  state_.ends[one.summary.id] = kernel_.mono() + behaviour_of(one).lasts;
  if (on_start) on_start(one);
}

void Pods::end(Container& one, int code) {
  state_.ends.erase(one.summary.id);
  fake::CriWorld::end(one, code);
  one.status.finished_at_ns = kernel_.wall() * 1'000;
  if (on_end) on_end(one, code);
}

void Pods::advance() {
  std::vector<std::string> over;
  for (const auto& [id, at] : state_.ends) {
    if (at <= kernel_.mono()) over.push_back(id);
  }
  for (const std::string& id : over) {
    const auto at = state_.world.containers.find(id);
    state_.ends.erase(id);
    if (at != state_.world.containers.end()) end(at->second, behaviour_of(at->second).code);
  }
}

MonoNanos Pods::next_event() const {
  MonoNanos next = kNever;
  for (const auto& [id, at] : state_.ends) next = std::min(next, at);
  if (current_ == nullptr) return next;
  if (up_due_) next = std::min(next, gone_until_);
  return current_->waiting() > 0 ? std::min(next, answers_at_) : next;
}

PodState Pods::after_power_loss() const {
  PodState out = state_;
  out.ends.clear();
  for (auto& [id, one] : out.world.sandboxes) one.state = cri::SandboxState::kNotReady;
  for (auto& [id, one] : out.world.containers) {
    if (one.status.state == cri::ContainerState::kRunning) fake::CriWorld::end(one, kUnknownCode, "Unknown");
  }
  return out;
}

}  // namespace te::world
