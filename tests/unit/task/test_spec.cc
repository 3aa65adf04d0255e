#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>

#include "task/capability.h"
#include "task/record.h"
#include "task/spec.h"

using te::SecurityContext;
using te::TaskSpec;

namespace {

TaskSpec minimal() {
  TaskSpec spec;
  spec.process.command.add("sleep");
  spec.process.args.add("10");
  return spec;
}

/// The error's text, or nothing.
std::string refusal(const TaskSpec& spec) {
  const te::Result<void> result = te::validate(spec, "spec.process");
  if (result) return "";
  CHECK(result.error().kind == te::ErrorKind::kInvalid);
  return result.error().text();
}

template <class Change>
bool same_after(Change change) {
  TaskSpec changed = minimal();
  change(changed.process);
  const bool same = te::same_spec(minimal(), changed);
  CHECK(same == te::same_spec(changed, minimal()));
  CHECK(te::same_spec(changed, changed));
  return same;
}

}  // namespace

TEST_CASE("spec: names") {
  for (const std::string_view good : {"a", "Z", "0", "my-first-task", "a.b_c-d", "a..b", "A1", "1"}) {
    CAPTURE(std::string(good));
    CHECK(te::valid_task_name(good));
  }
  for (const std::string_view bad :
       {"",    ".",    "..",   "-a",       "a-",         ".a",  "a.",   "_a",  "a_",  "a/b", "/",   "a b",
        "a\n", "a%2f", "../a", "\xC3\xA9", "a\xC3\xA9z", "a:b", "a\\b", "a*b", "a@b", "a[b", "a`b", "a{b"}) {
    CAPTURE(std::string(bad));
    CHECK(!te::valid_task_name(bad));
  }
  CHECK(!te::valid_task_name(std::string_view("a\0b", 3)));
  CHECK(te::valid_task_name(std::string(253, 'a')));
  CHECK(!te::valid_task_name(std::string(254, 'a')));
}

TEST_CASE("spec: defaults") {
  TaskSpec spec = minimal();
  CHECK(spec.timeout_seconds() == 0);
  CHECK(spec.grace_seconds() == 10);
  spec.process.timeout_seconds = 5;
  spec.process.grace_seconds = 0;
  CHECK(spec.timeout_seconds() == 5);
  CHECK(spec.grace_seconds() == 0);
}

TEST_CASE("spec: what validate refuses") {
  TaskSpec spec;
  CHECK(refusal(spec) == "spec.process.command: required, and not empty");
  spec.process.command.add("");
  CHECK(refusal(spec) == "spec.process.command[0]: must not be empty");
  spec = minimal();
  CHECK(refusal(spec).empty());
  spec.process.command.add("");
  spec.process.args.add("");
  CHECK(refusal(spec).empty());
  spec.process.timeout_seconds = -1;
  CHECK(refusal(spec) == "spec.process.timeoutSeconds: must not be negative");
  spec.process.timeout_seconds = 0;
  spec.process.grace_seconds = -1;
  CHECK(refusal(spec) == "spec.process.terminationGracePeriodSeconds: must not be negative");
  spec.process.grace_seconds = 0;
  spec.process.env.add("A=");
  spec.process.env.add("=x");
  CHECK(refusal(spec) == "spec.process.env[1].name: required, and not empty");
  CHECK(te::validate(spec, "process").error().text() == "process.env[1].name: required, and not empty");
}

TEST_CASE("spec: same_spec looks at all that is asked for") {
  CHECK(te::same_spec(minimal(), minimal()));
  CHECK(!same_after([](auto& process) { process.command.add("x"); }));
  CHECK(!same_after([](auto& process) { process.args.add(""); }));
  CHECK(!same_after([](auto& process) { process.env.add("A=1"); }));
  CHECK(!same_after([](auto& process) { process.working_dir = "/"; }));
  CHECK(!same_after([](auto& process) { process.timeout_seconds = 1; }));
  CHECK(!same_after([](auto& process) { process.grace_seconds = 11; }));
  CHECK(!same_after([](auto& process) { process.exec_mode = te::ExecMode::kLocal; }));
  const auto with_security = [](auto change) {
    return same_after([&](auto& process) {
      process.security = std::make_unique<SecurityContext>();
      change(*process.security);
    });
  };
  CHECK(!with_security([](auto& security) { security.run_as_user = 0; }));
  CHECK(!with_security([](auto& security) { security.run_as_group = 0; }));
  CHECK(!with_security([](auto& security) { security.supplemental_groups = {0}; }));
  CHECK(!with_security([](auto& security) { security.no_new_privileges = false; }));
  CHECK(!with_security([](auto& security) { security.drop_capabilities = 1; }));
  CHECK(!with_security([](auto& security) { security.add_capabilities = 1; }));
}

TEST_CASE("spec: same_spec looks behind defaults, form and place") {
  CHECK(same_after([](auto& process) { process.timeout_seconds = 0; }));
  CHECK(same_after([](auto& process) { process.grace_seconds = 10; }));
  CHECK(same_after([](auto& process) { process.timeout_at_spec = process.grace_at_spec = true; }));
  CHECK(same_after([](auto& process) { process.security = std::make_unique<SecurityContext>(); }));
  TaskSpec controller = minimal();
  controller.form = te::WireForm::kController;
  CHECK(te::same_spec(controller, minimal()));
}

TEST_CASE("spec: a string is not taken from command to args") {
  TaskSpec joined;
  joined.process.command.add("sleep");
  joined.process.command.add("10");
  CHECK(!te::same_spec(joined, minimal()));
}

TEST_CASE("capabilities: names and bits") {
  CHECK(te::capability_bits("CHOWN") == 1U);
  CHECK(te::capability_bits("CAP_CHOWN") == 1U);
  CHECK(te::capability_bits("SYS_ADMIN") == uint64_t{1} << 21);
  CHECK(te::capability_bits("CHECKPOINT_RESTORE") == uint64_t{1} << 40);
  CHECK(te::capability_bits("ALL") == te::kAllCapabilities);
  for (const std::string_view bad : {"", "chown", "CAP_", "CAP_CAP_CHOWN", "SYS", "all"}) {
    CHECK(!te::capability_bits(bad));
  }
}

TEST_CASE("record: a uid is 32 lower-case hexadecimal digits") {
  const std::string text = "0123456789abcdef0123456789abcdef";
  CHECK(te::Uid::from(text).view() == text);
  CHECK(!te::Uid::from(text).empty());
  CHECK(te::Uid{}.empty());
  for (const std::string& bad :
       {text.substr(1), text + "0", std::string(), "G" + text.substr(1), "A" + text.substr(1), text.substr(1) + " "}) {
    CAPTURE(bad);
    CHECK(te::Uid::from(bad).empty());
  }
  CHECK(te::Uid::from(text) == te::Uid::from(text));
  CHECK(te::Uid::from(text) < te::Uid::from("1" + text.substr(1)));
}
