// A runtime made of raw frames at the other end of a real unix socket, in the thread of the test: it does nothing that
// the test does not say. And a loop that turns the reactor and the server by turns.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../wire/raw_peer.h"
#include "reactor/reactor.h"
#include "sys/clock.h"
#include "sys/net.h"
#include "wire/grpc_message.h"
#include "wire/protobuf.h"

/// One request as the server sees it.
struct SeenRequest {
  uint32_t stream = 0;
  std::string path;
  std::string timeout;  ///< grpc-timeout
  std::string message;  ///< without its prefix
  bool complete = false;
};

/// One accepted connection.
class ServerLink {
 public:
  explicit ServerLink(te::Fd fd) : fd_(std::move(fd)) { send(settings()); }

  void send(std::string_view bytes) {
    while (!bytes.empty() && fd_.valid()) {
      const te::Result<int64_t> count = te::sys::send(fd_.get(), bytes);
      if (!count) return;
      if (*count > 0) bytes.remove_prefix(static_cast<size_t>(*count));
    }
  }
  void close() { fd_.reset(); }

  void read() {
    char buffer[65'536];
    while (fd_.valid()) {
      const te::Result<int64_t> count = te::sys::receive(fd_.get(), buffer, sizeof buffer);
      if (!count || *count == 0) {
        closed_by_client = true;
        fd_.reset();
      } else if (*count < 0) {
        break;
      } else {
        in_.append(buffer, static_cast<size_t>(*count));
      }
    }
    take_frames();
  }

  /// The last request for that path; null when there is none.
  SeenRequest* find(std::string_view method) {
    for (auto at = requests.rbegin(); at != requests.rend(); ++at) {
      if (at->path.ends_with(method) && at->complete) return &*at;
    }
    return nullptr;
  }
  void answer(uint32_t stream, std::string_view message) {
    send(ok_headers(stream) + data(stream, te::frame_grpc_message(message)) + trailers(stream));
  }
  void fail(uint32_t stream, std::string_view code, std::string_view message) {
    send(headers(stream, {{":status", "200"}, {"grpc-status", code}, {"grpc-message", message}}, kBothEnds));
  }
  void answer_version() {
    std::string message;
    te::ProtoWriter writer(message);
    writer.text(1, "0.1.0");
    writer.text(2, "raw");
    writer.text(3, "2.0");
    writer.text(4, "v1");
    answer(find("/Version")->stream, message);
  }

  std::vector<SeenRequest> requests;
  std::string others;  ///< frames that are no part of a request: "RST_STREAM 3 8\n"
  bool closed_by_client = false;

 private:
  void take_frames() {
    if (!greeted_) {
      if (in_.size() < te::kHttp2Preface.size()) return;
      REQUIRE(in_.starts_with(te::kHttp2Preface));
      in_.erase(0, te::kHttp2Preface.size());
      greeted_ = true;
    }
    while (in_.size() >= te::kFrameHeaderSize) {
      const te::FrameHeader header = te::read_frame_header(in_);
      if (in_.size() - te::kFrameHeaderSize < header.size) return;
      take_frame(header, std::string_view(in_).substr(te::kFrameHeaderSize, header.size));
      in_.erase(0, te::kFrameHeaderSize + header.size);
    }
  }
  void take_frame(const te::FrameHeader& header, std::string_view payload) {
    if (header.is(te::FrameType::kHeaders)) {
      te::HeaderList list;
      REQUIRE(decoder_.decode(payload, list));
      SeenRequest& request = requests.emplace_back();
      request.stream = header.stream;
      for (size_t i = 0; i < list.count(); ++i) {
        if (list[i].name == ":path") request.path = list[i].value;
        if (list[i].name == "grpc-timeout") request.timeout = list[i].value;
      }
    } else if (header.is(te::FrameType::kData)) {
      for (SeenRequest& request : requests) {
        if (request.stream != header.stream) continue;
        request.message += payload;
        if (!header.has(te::frame_flag::kEndStream)) continue;
        request.message.erase(0, te::kGrpcPrefixSize);
        request.complete = true;
      }
    } else {
      others += list_frames(in_.substr(0, te::kFrameHeaderSize + header.size));
    }
  }

  te::Fd fd_;
  te::HpackDecoder decoder_{te::kMiB};
  std::string in_;
  bool greeted_ = false;
};

class RawServer {
 public:
  RawServer() : directory_(make_directory()) { listen(); }
  ~RawServer() {
    stop();
    ::rmdir(directory_.c_str());
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  std::string path() const { return directory_ + "/s"; }
  void listen() { listener_ = te::sys::listen_on("unix:" + path()).value(); }
  void stop() {
    listener_.fd.reset();
    links.clear();
    greeted_.clear();
    ::unlink(path().c_str());
  }
  void turn() {
    if (listener_.fd.valid()) {
      te::Fd accepted(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (accepted.valid()) links.push_back(std::make_unique<ServerLink>(std::move(accepted)));
    }
    for (const auto& link : links) link->read();
    if (greets) {
      for (const auto& link : links) greet(*link);
    }
  }
  ServerLink& last() { return *links.back(); }

  std::vector<std::unique_ptr<ServerLink>> links;
  bool greets = true;  ///< answers Version by itself

 private:
  static std::string make_directory() {
    char name[] = "/tmp/te-raw-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    return name;
  }
  void greet(ServerLink& link) {
    const SeenRequest* version = link.find("/Version");
    if (version == nullptr || greeted_[&link] == version->stream) return;
    greeted_[&link] = version->stream;
    link.answer_version();
  }

  std::string directory_;
  te::sys::Listener listener_;
  std::map<ServerLink*, uint32_t> greeted_;
};

/// Turns both until `done`; fails the test after ten seconds.
inline void turn_until(te::Reactor& reactor, RawServer& server, const std::function<bool()>& done) {
  const te::MonoNanos end = te::sys::mono_now() + 10 * te::kSecond;
  while (!done()) {
    if (te::sys::mono_now() > end || !reactor.turn(false)) {
      FAIL("it did not come true in ten seconds");
      return;
    }
    server.turn();
    ::usleep(200);
  }
}
