// A server in the test's own loop, and clients on real sockets that the test drives step by step.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "../support.h"
#include "../task/fakes.h"
#include "api/http_server.h"
#include "reactor/reactor.h"
#include "sys/net.h"

namespace te::test {

/// Answers what the test says, by path; remembers what it was asked.
class ScriptedHandler final : public HttpHandler {
 public:
  void handle(uint64_t ticket, const HttpRequest& request, HttpResponse& response) override {
    requests.push_back(std::string(request.target));
    bodies.emplace_back(request.body);
    tickets.push_back(ticket);
    if (answer) answer(request, response);
  }
  void on_poll_deadline(uint64_t ticket, HttpResponse& response) override {
    deadlines.push_back(ticket);
    response.body = "deadline";
  }
  void on_poll_abandoned(uint64_t ticket) override { abandoned.push_back(ticket); }

  std::function<void(const HttpRequest&, HttpResponse&)> answer = [](const HttpRequest& request,
                                                                     HttpResponse& response) {
    response.body = "you asked for ";
    response.body += request.path;
  };
  std::vector<std::string> requests;
  std::vector<std::string> bodies;
  std::vector<uint64_t> tickets;
  std::vector<uint64_t> deadlines;
  std::vector<uint64_t> abandoned;
};

class Served final : private BeforeSleep {
 public:
  /// `other`: who is asked instead of the scripted handler.
  explicit Served(const HttpServerOptions& options = {}, HttpHandler* other = nullptr)
      : reactor(std::move(Reactor::create()).value()),
        server(reactor, other != nullptr ? *other : static_cast<HttpHandler&>(handler), clock, log, options) {
    Result<sys::Listener> listener = sys::listen_on("127.0.0.1:0");
    if (!listener) std::abort();
    address = listener->address;
    if (!server.add_listener(std::move(listener).value())) std::abort();
    reactor.set_before_sleep(*this);
  }

  /// Turns of the loop until it is so.
  template <class Condition>
  bool until(Condition condition) {
    return eventually([&] {
      for (int i = 0; i < 4; ++i) REQUIRE(reactor.turn(false));
      return condition();
    });
  }

  fake::FakeClock clock;
  fake::NullSink sink;
  Log log{sink, clock};
  ScriptedHandler handler;
  Reactor reactor;
  HttpServer server;
  std::string address;
  std::function<bool()> step;  ///< of the before-sleep, when set

 private:
  bool before_sleep() override {
    const bool more = step && step();
    server.end_turn();
    return more;
  }
};

class Client {
 public:
  explicit Client(Served& served, int receive_buffer = 0)
      : served_(served), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string& address = served.address;
    to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1)));
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) std::abort();
    ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
  }

  int fd() const { return fd_.get(); }
  void send(std::string_view bytes) { CHECK(*sys::send(fd_.get(), bytes) == static_cast<int64_t>(bytes.size())); }
  /// As much as the kernel takes.
  int64_t send_some(std::string_view bytes) {
    const Result<int64_t> sent = sys::send(fd_.get(), bytes);
    return sent ? *sent : 0;
  }
  void get(std::string_view path) { send("GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n\r\n"); }
  void shut() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }

  /// Takes what is there.
  void take() {
    char buffer[65'536];
    for (;;) {
      const Result<int64_t> size = sys::receive(fd_.get(), buffer, sizeof buffer);
      if (!size) reset_ = true;
      if (size && *size == 0) ended_ = true;
      if (!size || *size <= 0) return;
      received_.append(buffer, static_cast<size_t>(*size));
    }
  }
  /// The next whole answer, "(none)" if it does not come.
  std::string answer(bool head_only = false) {
    std::string out = "(none)";
    served_.until([&] {
      take();
      const size_t head_end = received_.find("\r\n\r\n");
      if (head_end == std::string::npos) return ended_ || reset_;
      const size_t field = received_.find("Content-Length: ");
      size_t size = head_end + 4;
      if (!head_only && field < head_end) size += std::strtoull(received_.c_str() + field + 16, nullptr, 10);
      if (received_.size() < size) return ended_ || reset_;
      out = received_.substr(0, size);
      received_.erase(0, size);
      return true;
    });
    return out;
  }
  /// The status and the body of the next answer: "200 body".
  std::string short_answer() {
    const std::string whole = answer();
    if (!whole.starts_with("HTTP/1.1 ")) return whole;
    return whole.substr(9, 3) + " " + whole.substr(whole.find("\r\n\r\n") + 4);
  }
  /// The server has closed, and nothing came that was not taken as an answer.
  bool ended() {
    return served_.until([&] {
      take();
      return ended_ || reset_;
    }) && received_.empty();
  }
  bool was_reset() const { return reset_; }
  const std::string& received() const { return received_; }

 private:
  Served& served_;
  Fd fd_;
  std::string received_;
  bool ended_ = false;
  bool reset_ = false;
};

}  // namespace te::test
