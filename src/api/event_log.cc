#include "api/event_log.h"

#include "codec/task_json.h"
#include "wire/json_writer.h"

namespace te {

namespace {

std::string_view name_of(EventType type) {
  switch (type) {
    case EventType::kAdded: return "ADDED";
    case EventType::kModified: return "MODIFIED";
    case EventType::kDeleted: return "DELETED";
  }
  return "";
}

JsonWriter begin_event(std::string& out, std::string_view type, uint64_t revision) {
  JsonWriter json(out);
  json.begin_object().key("type").string(type).key("revision").number(static_cast<int64_t>(revision)).key("object");
  return json;
}

}  // namespace

void append_event(std::string& out, EventType type, uint64_t revision, const Task& task) {
  JsonWriter json = begin_event(out, name_of(type), revision);
  write_task(json, task);
  json.end_object();
  out += '\n';
}

void append_bookmark(std::string& out, uint64_t revision) {
  begin_event(out, "BOOKMARK", revision).begin_object().end_object().end_object();
  out += '\n';
}

void append_watch_error(std::string& out, uint64_t revision, std::string_view message) {
  JsonWriter json = begin_event(out, "ERROR", revision);
  json.begin_object().key("code").string("Gone").key("message").string(message).end_object().end_object();
  out += '\n';
}

void EventLog::add(EventType type, const Task& task) {
  std::string line;
  append_event(line, type, revision() + 1, task);
  line.shrink_to_fit();
  bytes_ += line.size();
  lines_.push_back(std::move(line));
  make_room(kCeiling, revision());
}

void EventLog::make_room(size_t most_bytes, uint64_t last) {
  // The newest stays, however big it is.
  while (bytes_ > most_bytes && lines_.size() > 1 && first_ <= last) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
    ++first_;
  }
}

}  // namespace te
