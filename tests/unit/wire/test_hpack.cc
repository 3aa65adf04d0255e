#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "hex.h"
#include "wire/hpack.h"
#include "wire/hpack_huffman.h"

using te::HeaderList;
using te::HeaderView;
using te::HpackDecoder;
using te::HpackEncoder;

namespace {

std::string text(const HeaderList& list) {
  std::string out;
  for (size_t i = 0; i < list.count(); ++i) {
    out.append(list[i].name).append(": ").append(list[i].value).append("\n");
  }
  return out;
}

std::string decode(HpackDecoder& decoder, std::string_view hex) {
  HeaderList list;
  const te::Result<void> result = decoder.decode(from_hex(hex), list);
  return result ? text(list) : "error: " + result.error().context;
}

std::string decode_once(std::string_view hex) {
  HpackDecoder decoder(te::kMiB);
  return decode(decoder, hex);
}

struct Block {
  const char* hex;
  const char* fields;
  size_t table_size;
};

/// The blocks of one connection, in order.
void check_blocks(size_t table, std::initializer_list<Block> blocks) {
  HpackDecoder decoder(te::kMiB, table);
  for (const Block& block : blocks) {
    CHECK(decode(decoder, block.hex) == block.fields);
    CHECK(decoder.table().size() == block.table_size);
  }
}

std::string encode(HpackEncoder& encoder, std::initializer_list<HeaderView> fields) {
  std::string out;
  encoder.encode(std::span(fields.begin(), fields.size()), out);
  return to_hex(out);
}

}  // namespace

TEST_CASE("hpack: literal and indexed fields, RFC 7541 C.2") {
  check_blocks(
      4096, {{"400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header\n", 55}});
  check_blocks(4096, {{"040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", 0}});
  check_blocks(4096, {{"1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n", 0}});
  check_blocks(4096, {{"82", ":method: GET\n", 0}});
}

TEST_CASE("hpack: requests without and with Huffman, RFC 7541 C.3 and C.4") {
  const char* first = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
  const char* second = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n";
  const char* third =
      ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n";
  check_blocks(4096, {{"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", first, 57},
                      {"8286 84be 5808 6e6f 2d63 6163 6865", second, 110},
                      {"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", third, 164}});
  check_blocks(4096, {{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", first, 57},
                      {"8286 84be 5886 a8eb 1064 9cbf", second, 110},
                      {"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", third, 164}});
}

TEST_CASE("hpack: responses with evictions, RFC 7541 C.5 and C.6") {
  const char* first =
      ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n";
  const char* second =
      ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n";
  const char* third =
      ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n"
      "content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n";
  check_blocks(256,
               {{"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32"
                 "3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                 first, 222},
                {"4803 3330 37c1 c0bf", second, 222},
                {"88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970"
                 "7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61"
                 "6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                 third, 215}});
  check_blocks(256,
               {{"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad"
                 "1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                 first, 222},
                {"4883 640e ffc1 c0bf", second, 222},
                {"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2"
                 "e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                 third, 215}});
}

TEST_CASE("hpack: integers, RFC 7541 C.1, and their bounds") {
  // A size update by 1337, with a table that is large enough: 31 + 154 + 10 * 128.
  HpackDecoder decoder(te::kMiB);
  CHECK(decode(decoder, "3f 9a 0a").empty());
  CHECK(decoder.table().max_size() == 1337);
  CHECK(decode(decoder, "2a").empty());
  CHECK(decoder.table().max_size() == 10);

  CHECK(decode_once("ff") == "error: an integer is cut off");
  CHECK(decode_once("ff 80") == "error: an integer is cut off");
  CHECK(decode_once("ff 80 80 80 80 80 00") == "error: an integer is too large");
  CHECK(decode_once("ff ff ff ff ff ff ff ff ff 01") == "error: an integer is too large");
  CHECK(decode_once("ff ff ff ff ff 0f") == "error: an integer is too large");
  CHECK(decode_once("7f 80") == "error: an integer is cut off");
}

TEST_CASE("hpack: what is no header block") {
  CHECK(decode_once("80") == "error: an index beyond the table");
  CHECK(decode_once("be") == "error: an index beyond the table");  // 62, of an empty dynamic table
  CHECK(decode_once("7e 01 61") == "error: the index of a name beyond the table");
  CHECK(decode_once("00") == "error: a string is missing");
  CHECK(decode_once("00 05 61") == "error: a string is cut off");
  CHECK(decode_once("00 01 61") == "error: a string is missing");
  CHECK(decode_once("00 7f ff ff ff ff 03 61") == "error: an integer is too large");
  CHECK(decode_once("82 20") == "error: a table size update behind a field");
  CHECK(decode_once("3f e2 1f") == "error: a table larger than we allow");  // 4097
  CHECK(decode_once("3f e1 1f").empty());                                   // 4096
  CHECK(decode_once("20 3f e1 1f 82") == ":method: GET\n");
}

TEST_CASE("hpack: a long Huffman text, cut at every octet") {
  // Codes of 5 to 30 bits, so that every alignment comes.
  std::string coded;
  std::string plain;
  uint64_t bits = 0;
  unsigned count = 0;
  const auto put = [&](uint64_t code, unsigned length, char symbol) {
    bits = bits << length | code;
    count += length;
    for (; count >= 8; count -= 8) coded.push_back(static_cast<char>(bits >> (count - 8) & 0xffU));
    plain.push_back(symbol);
  };
  for (int i = 0; i < 200; ++i) {
    put(0x3, 5, 'a');
    put(0x7ffc, 15, '<');
    put(0x3f8, 10, '!');
    if (i % 3 == 0) put(0x3ffffffc, 30, '\n');
    if (i % 7 == 0) put(0xf8, 8, '&');
  }
  if (count > 0) coded.push_back(static_cast<char>((bits << (8 - count) | (0xffU >> count)) & 0xffU));
  std::string out = "before ";
  CHECK(te::huffman_decode(coded, out));
  CHECK(out == "before " + plain);
  for (size_t size = 0; size < coded.size(); ++size) {
    out.clear();
    (void)te::huffman_decode(std::string_view(coded).substr(0, size), out);
    CHECK(plain.starts_with(out));
    CHECK(plain.size() - out.size() <= 8 * (coded.size() - size) / 5 + 2);
  }
  out.clear();
  CHECK_FALSE(te::huffman_decode("\x1f\xff\xff\xff\xff\xff", out));
  CHECK(out == "a");  // what came before EOS
}

TEST_CASE("hpack: Huffman padding and EOS") {
  std::string out;
  CHECK(te::huffman_decode(from_hex("1f"), out));  // 'a' and three ones
  CHECK(out == "a");
  out.clear();
  CHECK_FALSE(te::huffman_decode(from_hex("1e"), out));           // padding with a zero
  CHECK_FALSE(te::huffman_decode(from_hex("1f ff"), out));        // eleven ones
  CHECK_FALSE(te::huffman_decode(from_hex("ff"), out));           // eight ones and nothing
  CHECK_FALSE(te::huffman_decode(from_hex("ff ff ff ff"), out));  // EOS
  out.clear();
  CHECK(te::huffman_decode("", out));
  CHECK(out.empty());
}

TEST_CASE("hpack: an entry larger than the table empties it") {
  HpackDecoder decoder(te::kMiB, 64);
  CHECK(decode(decoder, "4001 6101 62") == "a: b\n");
  CHECK(decoder.table().entries() == 1);
  CHECK(decode(decoder, "4001 6120 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262 6262") ==
        "a: " + std::string(32, 'b') + "\n");
  CHECK(decoder.table().entries() == 0);
  CHECK(decoder.table().size() == 0);
}

TEST_CASE("hpack: a new entry named after the one that it evicts (RFC 7541, 4.4)") {
  HpackDecoder decoder(te::kMiB, 40);
  CHECK(decode(decoder, "4003 6b65 7904 6f6e 6521") == "key: one!\n");
  CHECK(decode(decoder, "7e04 7477 6f21") == "key: two!\n");
  CHECK(decode(decoder, "be") == "key: two!\n");
  CHECK(decoder.table().entries() == 1);
}

TEST_CASE("hpack: a list over its limit is cut, and the table is kept all the same (CVE-2016-6581)") {
  HpackDecoder decoder(100);
  HeaderList list;
  std::string bomb = from_hex("4001 6120") + std::string(32, 'b');  // 65 octets as a list counts
  bomb += std::string(1000, '\xbe');
  REQUIRE(decoder.decode(bomb, list));
  CHECK(list.cut());
  CHECK(list.count() == 1);
  CHECK(list.size() == 65);
  CHECK(decode(decoder, "be") == "a: " + std::string(32, 'b') + "\n");
}

TEST_CASE("hpack: the encoder writes literals, and gives its table up when the peer lowers it") {
  HpackEncoder encoder;
  CHECK(encode(encoder, {{":method", "POST"}, {":scheme", "http"}, {":path", "/a"}, {"te", "trailers"}}) ==
        "8386"
        "04022f61"
        "0002746508"
        "747261696c657273");
  encoder.set_peer_limit(4096);
  CHECK(encode(encoder, {{":method", "POST"}}) == "83");
  encoder.set_peer_limit(0);
  encoder.set_peer_limit(65536);
  CHECK(encode(encoder, {{":method", "POST"}}) == "2083");
  CHECK(encode(encoder, {{":method", "POST"}}) == "83");
  encoder.set_peer_limit(0);
  CHECK(encode(encoder, {{":method", "POST"}}) == "83");
  CHECK(encode(encoder, {{"content-type", std::string(200, 'x')}}) == "0f107f49" + to_hex(std::string(200, 'x')));
}
