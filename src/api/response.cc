#include "api/response.h"

#include "base/size.h"
#include "base/text.h"
#include "wire/http1.h"
#include "wire/json_writer.h"

namespace te {

namespace {

int status_of_kind(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid: return 400;
    case ErrorKind::kUnsupported: return 400;
    case ErrorKind::kNotFound: return 404;
    case ErrorKind::kConflict: return 409;
    case ErrorKind::kTooLarge: return 413;
    case ErrorKind::kSystem:
    case ErrorKind::kCorrupt: return 507;  // only the store's errors get as far as an answer
  }
  return 500;
}

constexpr size_t kKeptCapacity = 64 * kKiB;

}  // namespace

void HttpResponse::clear() {
  status = 200;
  route = Route::kNone;
  content_type = "application/json";
  headers.clear();
  body.clear();
  if (body.capacity() > kKeptCapacity) body.shrink_to_fit();
  stream.reset();
  stream_length = 0;
  live = false;
  when = When::kNow;
  poll_deadline = kNever;
}

void HttpResponse::add_header(std::string_view name, std::string_view value) {
  headers += name;
  headers += ": ";
  headers += value;
  headers += "\r\n";
}

void HttpResponse::add_warning(std::string_view text) {
  constexpr size_t kMostHeaders = 4096;  // clients have bounds too
  if (headers.size() > kMostHeaders) return;
  headers += "Warning: 299 - \"";
  for (const char c : text) {
    if (c == '"' || c == '\\') headers += '\\';
    headers += static_cast<uint8_t>(c) < 0x20 || c == 0x7F ? '?' : c;
  }
  headers += "\"\r\n";
}

void HttpResponse::set_error(int error_status, std::string_view message) {
  status = error_status;
  content_type = "application/json";
  body.clear();
  JsonWriter json(body);
  json.begin_object().key("code").string(http_status_text(error_status).substr(4));
  json.key("message").string(message).end_object();
}

void HttpResponse::set_error(const Error& error) {
  const int error_status = status_of_kind(error.kind);
  if (error_status == 507) return set_error(error_status, "the state can't be written: " + error.text());
  set_error(error_status, error.text());
}

void append_head(std::string& out, const HttpResponse& response, std::string_view date, const Framing& framing) {
  out += "HTTP/1.1 ";
  out += http_status_text(response.status);
  out += "\r\nDate: ";
  out += date;
  if (response.status != 204) {
    out += "\r\nContent-Type: ";
    out += response.content_type;
    if (!response.live) {
      out += "\r\nContent-Length: ";
      append_int(out, static_cast<int64_t>(response.stream ? response.stream_length : response.body.size()));
    } else if (framing.chunked) {
      out += "\r\nTransfer-Encoding: chunked";
    }
  }
  if (!framing.keep_alive) {
    out += "\r\nConnection: close";
  } else if (framing.tell_keep_alive) {
    out += "\r\nConnection: keep-alive";
  }
  out += "\r\n";
  out += response.headers;
  out += "\r\n";
}

}  // namespace te
