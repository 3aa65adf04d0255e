#include <doctest/doctest.h>

#include <random>

#include "raw_peer.h"

using te::FrameType;
using te::Http2Code;
using te::Http2Connection;
using te::Http2Options;

namespace {

/// A connection that is set up: its preface is sent, the peer's settings are acknowledged, `streams` are open and sent.
Http2Connection ready(int streams = 1, Http2Options options = {}) {
  Http2Connection connection(options);
  take_output(connection);
  events(connection, settings());
  for (int i = 0; i < streams; ++i) open_stream(connection);
  take_output(connection);
  return connection;
}

}  // namespace

TEST_CASE("http2: preface, settings and the connection's window come first") {
  Http2Connection connection;
  std::string bytes = take_output(connection);
  REQUIRE(bytes.starts_with(te::kHttp2Preface));
  bytes.erase(0, te::kHttp2Preface.size());
  CHECK(to_hex(bytes) ==
        "000018040000000000"
        "000100001000"  // HEADER_TABLE_SIZE 4096
        "000200000000"  // ENABLE_PUSH 0
        "000400100000"  // INITIAL_WINDOW_SIZE 1 MiB
        "000600040000"  // MAX_HEADER_LIST_SIZE 256 KiB
        "000004080000000000003f0001");
  CHECK_FALSE(connection.greeted());
  CHECK(events(connection, settings()).empty());
  CHECK(connection.greeted());
  CHECK(sent_frames(connection) == "SETTINGS flags=1 stream=0 size=0\n");
}

TEST_CASE("http2: a request before the peer's settings, and its answer") {
  Http2Connection connection;
  take_output(connection);
  CHECK(connection.can_open());
  CHECK(open_stream(connection, "12345") == 1);
  CHECK(open_stream(connection, "") == 3);
  CHECK(sent_frames(connection) ==
        "HEADERS flags=4 stream=1 size=17\nHEADERS flags=5 stream=3 size=17\nDATA flags=1 stream=1 size=5\n");
  CHECK(events(connection, settings() + ok_headers(1) + data(1, "abc") + trailers(1)) ==
        "headers 1 :status=200\ndata 1 'abc'\ntrailers 1 grpc-status=0 end\n");
  CHECK(connection.open_streams() == 1);
  CHECK(events(connection, headers(3, {{":status", "200"}, {"grpc-status", "12"}}, kBothEnds)) ==
        "headers 3 :status=200 grpc-status=12 end\n");
  CHECK(connection.open_streams() == 0);
}

TEST_CASE("http2: the same at every split") {
  const std::string big(16'384, 'x');
  const std::string bytes =
      settings({{te::setting::kMaxFrameSize, 16'384}}) + frame(FrameType::kSettings, te::frame_flag::kAck, 0) +
      window_update(0, 100'000) + frame(FrameType::kPing, 0, 0, from_hex("02041010090e0707")) + ok_headers(1) +
      data(1, big) + data(3, "ignored before headers") +
      frame(FrameType::kHeaders, kEndStream, 1, block({{"grpc-status", "2"}})) + frame(FrameType::kContinuation, 0, 1) +
      frame(FrameType::kContinuation, kEndHeaders, 1, block({{"grpc-message", std::string(15'000, 'm')}})) +
      goaway(5, Http2Code::kNoError, "bye") + ok_headers(5) + rst(5, Http2Code::kCancel);
  const auto outcome = [&](auto next_piece) {
    Http2Connection connection;
    for (int i = 0; i < 4; ++i) open_stream(connection);
    std::string seen;
    for (std::string_view rest = bytes; !rest.empty();) {
      const size_t size = std::min(rest.size(), next_piece());
      seen += events(connection, rest.substr(0, size));
      rest.remove_prefix(size);
    }
    return seen + list_frames(take_output(connection).substr(te::kHttp2Preface.size()));
  };
  const std::string whole = outcome([&] { return bytes.size(); });
  CHECK(whole.starts_with("headers 1 :status=200\ndata 1 'xxx"));
  CHECK(whole.find("goaway NO_ERROR 'bye'\nreset 7 REFUSED_STREAM\nheaders 5 :status=200\nreset 5 CANCEL\n") !=
        std::string::npos);
  CHECK(whole.find("PING flags=1 stream=0 size=8\n") != std::string::npos);
  CHECK(outcome([] { return size_t{1}; }) == whole);
  std::mt19937 random(7);
  for (int i = 0; i < 50; ++i) {
    CHECK(outcome([&] { return size_t{1} + random() % (i < 25 ? 40 : 4'000); }) == whole);
  }
}

TEST_CASE("http2: the upload waits for both windows, also negative ones") {
  Http2Connection connection;
  take_output(connection);
  open_stream(connection, std::string(100'000, 'u'));
  open_stream(connection, std::string(10, 'v'));
  // 65,535 of the connection's window; the two streams take turns.
  CHECK(sent_frames(connection) ==
        "HEADERS flags=4 stream=1 size=17\nHEADERS flags=4 stream=3 size=17\n"
        "DATA flags=0 stream=1 size=16384\nDATA flags=1 stream=3 size=10\nDATA flags=0 stream=1 size=16384\n"
        "DATA flags=0 stream=1 size=16384\nDATA flags=0 stream=1 size=16373\n");
  events(connection, settings());
  take_output(connection);
  // The stream's window is now 10; lowered to 100 it is 100 - 65,525, and grows from there.
  events(connection, window_update(0, 1'000'000) + settings({{te::setting::kInitialWindowSize, 100}}));
  CHECK(sent_frames(connection) == "SETTINGS flags=1 stream=0 size=0\n");
  events(connection, window_update(1, 65'425));
  CHECK(sent_frames(connection).empty());
  events(connection, window_update(1, 7));
  CHECK(sent_frames(connection) == "DATA flags=0 stream=1 size=7\n");
  events(connection, settings({{te::setting::kInitialWindowSize, 100'000}}));
  CHECK(sent_frames(connection) ==
        "SETTINGS flags=1 stream=0 size=0\nDATA flags=0 stream=1 size=16384\nDATA flags=0 stream=1 size=16384\n"
        "DATA flags=1 stream=1 size=1700\n");
}

TEST_CASE("http2: a window of one octet at a time carries the whole request") {
  Http2Connection connection;
  take_output(connection);
  events(connection, settings({{te::setting::kInitialWindowSize, 0}}));
  open_stream(connection, "abc");
  take_output(connection);
  std::string carried;
  for (int i = 0; i < 3; ++i) {
    events(connection, window_update(1, 1));
    const std::string out = take_output(connection);
    REQUIRE(out.size() == te::kFrameHeaderSize + 1);
    carried += out.back();
  }
  CHECK(carried == "abc");
}

TEST_CASE("http2: windows over 2^31-1 are errors") {
  Http2Connection connection = ready();
  CHECK(events(connection, window_update(1, 0x7fffffff)) ==
        "reset 1 FLOW_CONTROL_ERROR (a stream's window over 2^31-1)\n");
  CHECK(sent_frames(connection) == "RST_STREAM flags=0 stream=1 value=3\n");
  CHECK(events(connection, window_update(0, 0x7fffffff)) == "failed FLOW_CONTROL_ERROR (a window over 2^31-1)\n");

  Http2Connection other = ready();
  events(other, window_update(1, 0x7fff'0000));
  CHECK(events(other, settings({{te::setting::kInitialWindowSize, 0x7fffffff}})) ==
        "failed FLOW_CONTROL_ERROR (a window over 2^31-1)\n");
  Http2Connection third = ready();
  CHECK(events(third, settings({{te::setting::kInitialWindowSize, 0x80000000}})) ==
        "failed FLOW_CONTROL_ERROR (INITIAL_WINDOW_SIZE is too large)\n");
}

TEST_CASE("http2: WINDOW_UPDATE by 0") {
  Http2Connection connection = ready();
  CHECK(events(connection, window_update(1, 0)) == "reset 1 PROTOCOL_ERROR (WINDOW_UPDATE by 0)\n");
  CHECK(events(connection, window_update(0, 0)) == "failed PROTOCOL_ERROR (WINDOW_UPDATE by 0)\n");
}

TEST_CASE("http2: windows that we opened are opened again by halves, padding counted, closed streams too") {
  Http2Options options;
  options.stream_window = 30'000;
  options.connection_window = 65'535;
  Http2Connection connection = ready(2, options);
  events(connection, ok_headers(1));
  const std::string padded =
      frame(FrameType::kData, te::frame_flag::kPadded, 1, '\xff' + std::string(255 + 9'000, 'p'));
  CHECK(events(connection, padded) == "data 1 '" + std::string(9'000, 'p') + "'\n");
  CHECK(sent_frames(connection).empty());
  events(connection, padded);
  CHECK(sent_frames(connection) == "WINDOW_UPDATE flags=0 stream=1 value=18512\n");
  connection.reset(1, Http2Code::kCancel);
  take_output(connection);
  CHECK(events(connection, data(1, std::string(16'000, 'q'))).empty());
  CHECK(sent_frames(connection) == "WINDOW_UPDATE flags=0 stream=0 value=34512\n");
}

TEST_CASE("http2: a peer that ignores our windows") {
  Http2Options options;
  options.stream_window = 10;
  Http2Connection connection = ready(1, options);
  events(connection, ok_headers(1));
  CHECK(events(connection, data(1, "01234567890")) ==
        "reset 1 FLOW_CONTROL_ERROR (more DATA than allowed on a stream)\n");
  CHECK(sent_frames(connection) == "RST_STREAM flags=0 stream=1 value=3\n");
}

TEST_CASE("http2: padding and priority are taken off") {
  Http2Connection connection = ready();
  const std::string fields = block({{":status", "200"}});
  const uint8_t flags = kEndHeaders | te::frame_flag::kPadded | te::frame_flag::kPriority;
  CHECK(events(connection, frame(FrameType::kHeaders, flags, 1, from_hex("02 80000001 ff") + fields + "PP")) ==
        "headers 1 :status=200\n");
  CHECK(events(connection, frame(FrameType::kData, te::frame_flag::kPadded, 1, from_hex("00") + "a")) ==
        "data 1 'a'\n");
  CHECK(events(connection, frame(FrameType::kData, te::frame_flag::kPadded, 1, from_hex("02") + "bPP")) ==
        "data 1 'b'\n");
  CHECK(events(connection, frame(FrameType::kData, te::frame_flag::kPadded, 1, from_hex("02 00 00"))).empty());
  const char* too_much = "failed PROTOCOL_ERROR (more padding than payload)\n";
  CHECK(events(connection, frame(FrameType::kData, te::frame_flag::kPadded, 1, from_hex("02") + "b")) == too_much);
  Http2Connection empty = ready();
  CHECK(events(empty, frame(FrameType::kHeaders, te::frame_flag::kPadded, 1)) == too_much);
  Http2Connection cut = ready();
  CHECK(events(cut, frame(FrameType::kHeaders, te::frame_flag::kPriority, 1, "1234")) == too_much);
}

TEST_CASE("http2: PRIORITY, unknown frames and unknown settings are ignored, PUSH_PROMISE is not") {
  Http2Connection connection = ready();
  CHECK(events(connection, frame(FrameType::kPriority, 0, 1, "12345") + frame(FrameType::kPriority, 0, 9, "12345") +
                               raw_frame(0x42, 0xff, 77, "whatever") + settings({{65'027, 1}, {6, 100}}))
            .empty());
  CHECK(sent_frames(connection) == "SETTINGS flags=1 stream=0 size=0\n");
  CHECK(events(connection, frame(FrameType::kPushPromise, kEndHeaders, 1, "1234")) ==
        "failed PROTOCOL_ERROR (PUSH_PROMISE, which we forbid)\n");
  CHECK(sent_frames(connection).starts_with("GOAWAY flags=0 stream=0"));
}

TEST_CASE("http2: only CONTINUATION may follow an open header block") {
  const std::string start = frame(FrameType::kHeaders, 0, 1, block({{":status", "200"}}));
  for (const std::string& intruder :
       {data(1, "x"), settings(), frame(FrameType::kPing, 0, 0, "12345678"), raw_frame(0x42, 0, 0),
        frame(FrameType::kContinuation, kEndHeaders, 3), headers(1, {{"a", "b"}})}) {
    Http2Connection connection = ready(2);
    CHECK(events(connection, start + intruder) == "failed PROTOCOL_ERROR (a frame within a header block)\n");
  }
  Http2Connection connection = ready();
  CHECK(events(connection, frame(FrameType::kContinuation, kEndHeaders, 1)) ==
        "failed PROTOCOL_ERROR (CONTINUATION without HEADERS)\n");
}

TEST_CASE("http2: header blocks of dead streams are decoded, the table is the connection's") {
  Http2Connection connection = ready(2);
  connection.reset(1, Http2Code::kCancel);
  const std::string insert = from_hex("88 40 01 61 01 62");  // :status 200, and a: b goes into the table
  CHECK(events(connection, frame(FrameType::kHeaders, kEndHeaders, 1, insert)).empty());
  CHECK(events(connection, frame(FrameType::kHeaders, kEndHeaders, 3, from_hex("88 be"))) ==
        "headers 3 :status=200 a=b\n");
  CHECK(events(connection, frame(FrameType::kHeaders, kEndHeaders, 1, from_hex("ff"))) ==
        "failed COMPRESSION_ERROR (a bad header block)\n");
}

TEST_CASE("http2: the first request after a lowered table begins with a size update") {
  Http2Connection connection = ready();
  events(connection, settings({{te::setting::kHeaderTableSize, 0}}));
  take_output(connection);
  open_stream(connection, "");
  std::string out = take_output(connection);
  CHECK(to_hex(out.substr(te::kFrameHeaderSize, 2)) == "2083");
  open_stream(connection, "");
  out = take_output(connection);
  CHECK(to_hex(out.substr(te::kFrameHeaderSize, 2)) == "8386");
  // Lowered and raised again in one frame counts as well.
  Http2Connection other = ready();
  events(other, settings({{te::setting::kHeaderTableSize, 10}, {te::setting::kHeaderTableSize, 4096}}));
  take_output(other);
  open_stream(other, "");
  CHECK(to_hex(take_output(other).substr(te::kFrameHeaderSize, 2)) == "2083");
}

TEST_CASE("http2: interim responses are skipped") {
  Http2Connection connection = ready();
  CHECK(events(connection, headers(1, {{":status", "100"}}) + headers(1, {{":status", "103"}, {"link", "x"}}) +
                               ok_headers(1)) == "headers 1 :status=200\n");
  Http2Connection other = ready();
  CHECK(events(other, headers(1, {{":status", "100"}}, kBothEnds)) ==
        "reset 1 PROTOCOL_ERROR (an interim response that ends the stream)\n");
}

TEST_CASE("http2: malformed responses end their stream only") {
  const auto why = [](std::initializer_list<te::HeaderView> fields) {
    Http2Connection connection = ready(2);
    const std::string seen = events(connection, headers(1, fields) + ok_headers(3));
    const std::string prefix = "reset 1 PROTOCOL_ERROR (";
    if (!seen.starts_with(prefix) || !seen.ends_with(")\nheaders 3 :status=200\n")) return seen;
    return seen.substr(prefix.size(), seen.find(')') - prefix.size());
  };
  CHECK(why({{"a", "b"}}) == "no :status");
  CHECK(why({{":status", "20"}}) == "a bad :status");
  CHECK(why({{":status", "2x0"}}) == "a bad :status");
  CHECK(why({{":status", "099"}}) == "a bad :status");
  CHECK(why({{":status", "200"}, {":status", "200"}}) == "two :status fields");
  CHECK(why({{"a", "b"}, {":status", "200"}}) == "a pseudo-header field behind another");
  CHECK(why({{":status", "200"}, {":path", "/"}}) == "a pseudo-header field that no response has");
  CHECK(why({{":status", "200"}, {"Upper", "b"}}) == "a bad byte in a field's name");
  CHECK(why({{":status", "200"}, {"", "b"}}) == "a bad byte in a field's name");
  CHECK(why({{":status", "200"}, {"a b", "b"}}) == "a bad byte in a field's name");
  CHECK(why({{":status", "200"}, {"a", "b\r\nc"}}) == "a bad byte in a field's value");
  CHECK(why({{":status", "200"}, {"connection", "close"}}) == "a field of the connection");
  CHECK(why({{":status", "200"}, {"grpc-message", "ends in a blank "}}).starts_with("headers 1"));
}

TEST_CASE("http2: trailers") {
  Http2Connection connection = ready(3);
  CHECK(events(connection, ok_headers(1) + ok_headers(1)) ==
        "headers 1 :status=200\nreset 1 PROTOCOL_ERROR (a pseudo-header field in the trailers)\n");
  CHECK(events(connection, ok_headers(3) + headers(3, {{"a", "b"}})) ==
        "headers 3 :status=200\nreset 3 PROTOCOL_ERROR (trailers that do not end the stream)\n");
  CHECK(events(connection, ok_headers(5) + data(5, "", kEndStream)) == "headers 5 :status=200\ndata 5 '' end\n");
  CHECK(connection.open_streams() == 0);
  CHECK(events(connection, trailers(5)).empty());
}

TEST_CASE("http2: DATA before headers ends the stream") {
  Http2Connection connection = ready();
  CHECK(events(connection, data(1, "x")) == "reset 1 PROTOCOL_ERROR (DATA before the headers of a response)\n");
}

TEST_CASE("http2: an answer before the upload is through stops it, and its reset is no news") {
  Http2Connection connection;
  take_output(connection);
  open_stream(connection, std::string(200'000, 'u'));
  take_output(connection);
  CHECK(events(connection, settings() + headers(1, {{":status", "200"}, {"grpc-status", "8"}}, kBothEnds) +
                               rst(1, Http2Code::kNoError)) == "headers 1 :status=200 grpc-status=8 end\n");
  CHECK(sent_frames(connection) == "SETTINGS flags=1 stream=0 size=0\nRST_STREAM flags=0 stream=1 value=8\n");
  events(connection, window_update(0, 1'000'000));
  CHECK(sent_frames(connection).empty());
}

TEST_CASE("http2: RST_STREAM") {
  Http2Connection connection = ready();
  CHECK(events(connection, rst(1, Http2Code::kRefusedStream)) == "reset 1 REFUSED_STREAM\n");
  CHECK(events(connection, rst(1, Http2Code::kCancel)).empty());
  CHECK(events(connection, rst(3, Http2Code::kCancel)) ==
        "failed PROTOCOL_ERROR (RST_STREAM on a stream that was never opened)\n");
}

TEST_CASE("http2: GOAWAY refuses what is above, once and again, and lets the rest go on") {
  Http2Connection connection = ready(3);
  CHECK(events(connection, goaway(0x7fffffff)) == "goaway NO_ERROR ''\n");
  CHECK(connection.over());
  CHECK_FALSE(connection.can_open());
  CHECK(connection.open_streams() == 3);
  CHECK(events(connection, goaway(1, Http2Code::kEnhanceYourCalm, "too_many_pings")) ==
        "goaway ENHANCE_YOUR_CALM 'too_many_pings'\nreset 3 REFUSED_STREAM\nreset 5 REFUSED_STREAM\n");
  CHECK(events(connection, ok_headers(1) + trailers(1)) == "headers 1 :status=200\ntrailers 1 grpc-status=0 end\n");
  CHECK(connection.open_streams() == 0);
}

TEST_CASE("http2: as many streams as the peer allows, and as there are ids") {
  Http2Connection connection = ready(1);
  events(connection, settings({{te::setting::kMaxConcurrentStreams, 2}}));
  CHECK(connection.can_open());
  open_stream(connection);
  CHECK_FALSE(connection.can_open());
  CHECK_FALSE(connection.over());
  events(connection, ok_headers(1) + trailers(1));
  CHECK(connection.can_open());

  Http2Options options;
  options.first_stream = 0x7fffffff;
  Http2Connection last = ready(0, options);
  CHECK(last.can_open());
  CHECK(open_stream(last) == 0x7fffffff);
  CHECK_FALSE(last.can_open());
  CHECK(last.over());
  CHECK(events(last, ok_headers(0x7fffffff)) == "headers 2147483647 :status=200\n");
}

TEST_CASE("http2: PING is answered, and answers that nobody fetches are bounded (CVE-2019-9512, 9515)") {
  Http2Connection connection = ready();
  CHECK(events(connection, frame(FrameType::kPing, 0, 0, from_hex("02041010090e0707"))).empty());
  CHECK(to_hex(take_output(connection)) ==
        "000008060100000000"
        "02041010090e0707");
  CHECK(events(connection, frame(FrameType::kPing, te::frame_flag::kAck, 0, "12345678")).empty());
  CHECK(sent_frames(connection).empty());
  std::string flood;
  for (int i = 0; i < 600; ++i) flood += frame(FrameType::kPing, 0, 0, "12345678") + settings();
  CHECK(events(connection, flood) == "failed ENHANCE_YOUR_CALM (our answers are not fetched)\n");
  // One that fetches them may go on for ever.
  Http2Connection other = ready();
  for (int i = 0; i < 3'000; ++i) {
    CHECK(events(other, frame(FrameType::kPing, 0, 0, "12345678")).empty());
    take_output(other);
  }
}

TEST_CASE("http2: frames that bring nothing are bounded (CVE-2019-9518)") {
  const auto flood = [](const std::string& one) {
    Http2Connection connection = ready();
    std::string bytes = ok_headers(1);
    for (unsigned i = 0; i <= Http2Connection::kMaxJunkFrames; ++i) bytes += one;
    const std::string seen = events(connection, bytes);
    return seen.substr(seen.find('\n') + 1);
  };
  const char* told = "failed ENHANCE_YOUR_CALM (too many frames that bring nothing)\n";
  CHECK(flood(data(1, "")) == told);
  CHECK(flood(frame(FrameType::kPriority, 0, 1, "12345")) == told);
  CHECK(flood(raw_frame(0x33, 0, 0)) == told);
  CHECK(flood(frame(FrameType::kSettings, te::frame_flag::kAck, 0)) == told);
}

TEST_CASE("http2: a header block without end is refused (CVE-2024-27316)") {
  Http2Connection connection = ready();
  std::string bytes = frame(FrameType::kHeaders, 0, 1, block({{":status", "200"}}));
  for (int i = 0; i < 2'000; ++i) bytes += frame(FrameType::kContinuation, 0, 1);
  CHECK(events(connection, bytes) == "failed ENHANCE_YOUR_CALM (a header block without end)\n");
  Http2Connection large = ready();
  bytes = frame(FrameType::kHeaders, 0, 1, block({{":status", "200"}}));
  for (int i = 0; i < 16; ++i) bytes += frame(FrameType::kContinuation, 0, 1, std::string(16'384, 'x'));
  CHECK(events(large, bytes) == "failed ENHANCE_YOUR_CALM (a header block without end)\n");
}

TEST_CASE("http2: a header list over our limit ends its stream") {
  Http2Options options;
  options.header_list = 1'000;
  Http2Connection connection = ready(2, options);
  CHECK(events(connection, headers(1, {{":status", "200"}, {"a", std::string(1'000, 'x')}}) + ok_headers(3)) ==
        "reset 1 ENHANCE_YOUR_CALM (the header list is too large)\nheaders 3 :status=200\n");
}

TEST_CASE("http2: an error text of 250 kB and CONTINUATION is no problem") {
  Http2Connection connection = ready();
  const std::string text(250'000, 'e');
  const std::string fields = block({{":status", "200"}, {"grpc-status", "2"}, {"grpc-message", text}});
  std::string bytes = frame(FrameType::kHeaders, kEndStream, 1, std::string_view(fields).substr(0, 16'384));
  for (size_t at = 16'384; at < fields.size(); at += 16'384) {
    const bool last = at + 16'384 >= fields.size();
    bytes += frame(FrameType::kContinuation, last ? kEndHeaders : 0, 1, std::string_view(fields).substr(at, 16'384));
  }
  CHECK(events(connection, bytes) == "headers 1 :status=200 grpc-status=2 grpc-message=" + text + " end\n");
  CHECK(connection.memory() < te::kMiB);
  connection.receive("");
  CHECK(events(connection, frame(FrameType::kPing, 0, 0, "12345678")).empty());
}

TEST_CASE("http2: what breaks a connection") {
  const auto broken = [](const std::string& bytes) {
    Http2Connection connection = ready();
    return events(connection, bytes);
  };
  std::string large = frame(FrameType::kData, 0, 1, std::string(16'385, 'x'));
  CHECK(broken(large) == "failed FRAME_SIZE_ERROR (a frame larger than we allow)\n");
  CHECK(broken(large.substr(0, 9)) == "failed FRAME_SIZE_ERROR (a frame larger than we allow)\n");
  CHECK(broken(data(0, "x")) == "failed PROTOCOL_ERROR (DATA on a stream that was never opened)\n");
  CHECK(broken(data(2, "x")) == "failed PROTOCOL_ERROR (DATA on a stream that was never opened)\n");
  CHECK(broken(data(3, "x")) == "failed PROTOCOL_ERROR (DATA on a stream that was never opened)\n");
  CHECK(broken(ok_headers(0)) == "failed PROTOCOL_ERROR (HEADERS on a stream that was never opened)\n");
  CHECK(broken(ok_headers(2)) == "failed PROTOCOL_ERROR (HEADERS on a stream that was never opened)\n");
  CHECK(broken(window_update(3, 1)) == "failed PROTOCOL_ERROR (WINDOW_UPDATE on a stream that was never opened)\n");
  CHECK(broken(frame(FrameType::kRstStream, 0, 1, "123")) == "failed FRAME_SIZE_ERROR (RST_STREAM of a wrong size)\n");
  CHECK(broken(frame(FrameType::kPing, 0, 0, "123")) == "failed FRAME_SIZE_ERROR (PING of a wrong size)\n");
  CHECK(broken(frame(FrameType::kPing, 0, 1, "12345678")) == "failed PROTOCOL_ERROR (PING on a stream)\n");
  CHECK(broken(frame(FrameType::kGoaway, 0, 0, "1234567")) == "failed FRAME_SIZE_ERROR (GOAWAY of a wrong size)\n");
  CHECK(broken(frame(FrameType::kGoaway, 0, 1, "12345678")) == "failed PROTOCOL_ERROR (GOAWAY on a stream)\n");
  CHECK(broken(frame(FrameType::kWindowUpdate, 0, 0, "12345")) ==
        "failed FRAME_SIZE_ERROR (WINDOW_UPDATE of a wrong size)\n");
  CHECK(broken(frame(FrameType::kSettings, 0, 0, "12345")) == "failed FRAME_SIZE_ERROR (SETTINGS of a wrong size)\n");
  CHECK(broken(frame(FrameType::kSettings, 0, 1)) == "failed PROTOCOL_ERROR (SETTINGS on a stream)\n");
  CHECK(broken(frame(FrameType::kSettings, te::frame_flag::kAck, 0, "123456")) ==
        "failed FRAME_SIZE_ERROR (an acknowledgement with a payload)\n");
  CHECK(broken(settings({{te::setting::kEnablePush, 1}})) ==
        "failed PROTOCOL_ERROR (a server must not set ENABLE_PUSH)\n");
  CHECK(broken(settings({{te::setting::kMaxFrameSize, 16'383}})) ==
        "failed PROTOCOL_ERROR (MAX_FRAME_SIZE out of range)\n");
  CHECK(broken(settings({{te::setting::kMaxFrameSize, 1U << 24U}})) ==
        "failed PROTOCOL_ERROR (MAX_FRAME_SIZE out of range)\n");
  CHECK(broken(frame(FrameType::kPriority, 0, 0, "12345")) == "failed PROTOCOL_ERROR (PRIORITY without a stream)\n");
  CHECK(broken(frame(FrameType::kPriority, 0, 1, "1234")) == "reset 1 FRAME_SIZE_ERROR (PRIORITY of a wrong size)\n");
}

TEST_CASE("http2: a server begins with its settings") {
  Http2Connection connection;
  CHECK(events(connection, frame(FrameType::kPing, 0, 0, "12345678")) ==
        "failed PROTOCOL_ERROR (the peer did not begin with SETTINGS)\n");
  Http2Connection http1;
  CHECK(events(http1, "HTTP/1.1 400 Bad Request\r\n\r\n") ==
        "failed FRAME_SIZE_ERROR (a frame larger than we allow)\n");
}

TEST_CASE("http2: after a failure nothing is kept and nothing more is told") {
  Http2Connection connection = ready();
  CHECK(events(connection, data(3, "x") + ok_headers(1)) ==
        "failed PROTOCOL_ERROR (DATA on a stream that was never opened)\n");
  CHECK(events(connection, ok_headers(1)).empty());
  CHECK(connection.over());
  CHECK(sent_frames(connection).starts_with("GOAWAY flags=0 stream=0"));
}

TEST_CASE("http2: a request's headers larger than a frame go on in CONTINUATION") {
  Http2Connection connection = ready(0);
  const std::string path(40'000, 'p');
  const te::HeaderView fields[] = {{":method", "POST"}, {":path", path}};
  connection.open(fields, "x");
  CHECK(sent_frames(connection) ==
        "HEADERS flags=0 stream=1 size=16384\nCONTINUATION flags=0 stream=1 size=16384\n"
        "CONTINUATION flags=4 stream=1 size=7238\nDATA flags=1 stream=1 size=1\n");
}
