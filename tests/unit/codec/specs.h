// Short cuts for the codec's tests: one task read from text, written back, and a spec with everything in it.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

#include "../padded_copy.h"
#include "codec/task_json.h"

namespace te::test {

inline Result<TaskRequests> read_one(std::string_view text, const SpecOptions& options = {}) {
  JsonParser parser;
  const PaddedCopy copy(text);
  return read_task(parser, copy.text(), options);
}

inline Result<TaskRequests> read_list(std::string_view text, const SpecOptions& options = {}) {
  JsonParser parser;
  const PaddedCopy copy(text);
  return read_task_list(parser, copy.text(), options);
}

/// The error's text, "(accepted)" when there is none; every error must be of kind kInvalid.
inline std::string refusal(const Result<TaskRequests>& result) {
  if (result) return "(accepted)";
  CHECK(result.error().kind == ErrorKind::kInvalid);
  return result.error().text();
}

inline std::string spec_text(std::string_view name, const TaskSpec& spec) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  write_spec(json, name, spec);
  json.end_object();
  return out;
}

/// What a task that has been read looks like when it is written.
inline std::string rewritten(std::string_view text, const SpecOptions& options = {}) {
  const Result<TaskRequests> read = read_one(text, options);
  if (!read) return "refused: " + read.error().text();
  return spec_text(read->tasks.at(0).name, read->tasks.at(0).spec);
}

constexpr std::string_view kFullGuide =
    R"({"name":"full","spec":{"process":{"command":["sh","-c"],"args":["echo \"é\"",""],)"
    R"("env":[{"name":"A","value":"1=2"},{"name":"A","value":""}],"workingDir":"/tmp",)"
    R"("execMode":"Local","securityContext":{"runAsUser":0,"runAsGroup":4294967294,"supplementalGroups":[1,2],)"
    R"("noNewPrivileges":false,"capabilities":{"drop":["ALL"],"add":["CHOWN","NET_BIND_SERVICE"]}}},)"
    R"("timeoutSeconds":5,"terminationGracePeriodSeconds":0}})";

constexpr std::string_view kFullController =
    R"({"name":"full","process":{"command":["sh","-c"],"args":["true"],"env":[{"name":"A","value":"1"}],)"
    R"("workingDir":"/","timeoutSeconds":7,"terminationGracePeriodSeconds":3}})";

}  // namespace te::test
