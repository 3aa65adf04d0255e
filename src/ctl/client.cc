#include "ctl/client.h"

#include <algorithm>
#include <array>

#include "base/size.h"
#include "base/text.h"
#include "ctl/output.h"
#include "sys/clock.h"
#include "sys/net.h"

namespace te::ctl {

namespace {

constexpr MonoNanos kConnectPatience = 5 * kSecond;

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

}  // namespace

std::string address_of(std::string_view server) {
  if (server.starts_with("http://")) server.remove_prefix(7);
  if (server.ends_with('/') && !server.starts_with("unix:")) server.remove_suffix(1);
  std::string address(server);
  if (address.starts_with("unix:///")) address.erase(5, 2);
  return address;
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (unreserved(c)) {
      out += c;
    } else {
      out += '%';
      out += "0123456789ABCDEF"[static_cast<uint8_t>(c) >> 4U];
      out += "0123456789ABCDEF"[static_cast<uint8_t>(c) & 15U];
    }
  }
}

Result<Exchange> Exchange::open(const Server& server, std::string_view method, std::string_view target,
                                std::string_view body, MonoNanos deadline) {
  Exchange out;
  out.fd_ = TRY(sys::connect_to(server.address, std::min(kConnectPatience, deadline - sys::mono_now())));
  std::string& request = out.request_;
  request.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
  if (!server.token.empty()) request.append("Authorization: Bearer ").append(server.token).append("\r\n");
  if (!body.empty()) {
    request += "Content-Type: application/json\r\nContent-Length: ";
    append_int(request, static_cast<int64_t>(body.size()));
    request += "\r\n";
  }
  request.append("\r\n").append(body);
  return out;
}

Result<void> Exchange::advance(std::string& body) {
  while (wants_write()) {
    const Result<int64_t> sent = sys::send(fd_.get(), std::string_view(request_).substr(sent_));
    // An agent that has refused the request reads no more of it; its answer says why.
    if (!sent) sent_ = request_.size();
    if (!sent || *sent == sys::kWouldBlock) break;
    sent_ += static_cast<size_t>(*sent);
  }
  std::array<char, 64 * kKiB> piece;
  const int64_t size = TRY(sys::receive(fd_.get(), piece.data(), piece.size()));
  if (size == sys::kWouldBlock) return {};
  if (size == 0) return response_.finish();
  return response_.feed({piece.data(), static_cast<size_t>(size)}, body);
}

Result<Answer> answer_to(Exchange& exchange, int interrupts, MonoNanos deadline) {
  Answer answer;
  while (!exchange.response().done()) {
    std::array<sys::Awaited, 2> awaited = {{{exchange.fd(), exchange.wants_write()}, {interrupts, false}}};
    const bool in_time = TRY(sys::wait_ready(awaited, deadline));
    if (awaited[0].ready) {  // first: a request goes out, whatever signal there is already
      TRY(exchange.advance(answer.body));
    } else if (!in_time || awaited[1].ready) {
      return Error{ErrorKind::kSystem, in_time ? EINTR : ETIMEDOUT, "waiting for the agent"};
    }
  }
  answer.status = exchange.response().status();
  for (const auto& [name, value] : exchange.response().headers()) {
    if (iequals(name, "warning")) complain("Warning: " + value);
  }
  return answer;
}

Result<Answer> ask(const Server& server, std::string_view method, std::string_view target, std::string_view body,
                   int interrupts, MonoNanos deadline) {
  Exchange exchange = TRY(Exchange::open(server, method, target, body, deadline));
  return answer_to(exchange, interrupts, deadline);
}

}  // namespace te::ctl
