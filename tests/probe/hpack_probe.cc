// HPACK for the differential test: one command a line on stdin, one answer a line on stdout, all in hexadecimal.
//
//   decode BLOCK              the fields as NAME:VALUE, blanks between them, or "error"; the table lives on
//   encode NAME:VALUE …       a header block
//   limit N                   the peer's table size, for the encoder; answers "ok"
//   reset                     both begin anew; answers "ok"
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/size.h"
#include "base/text.h"
#include "wire/hpack.h"

namespace {

int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

std::string from_hex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
  return out;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4U]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15U]);
  }
  return out;
}

std::string decode(te::HpackDecoder& decoder, const std::string& block) {
  te::HeaderList list;
  if (!decoder.decode(from_hex(block), list)) return "error";
  std::string out;
  for (size_t i = 0; i < list.count(); ++i) {
    if (i > 0) out += ' ';
    out += to_hex(list[i].name) + ":" + to_hex(list[i].value);
  }
  return out;
}

std::string encode(te::HpackEncoder& encoder, std::istringstream& words) {
  std::vector<std::string> bytes;
  std::vector<te::HeaderView> fields;
  for (std::string word; words >> word;) {
    const size_t colon = word.find(':');
    bytes.push_back(from_hex(word.substr(0, colon)));
    bytes.push_back(from_hex(word.substr(colon + 1)));
  }
  for (size_t i = 0; i < bytes.size(); i += 2) fields.push_back({bytes[i], bytes[i + 1]});
  std::string out;
  encoder.encode(fields, out);
  return to_hex(out);
}

}  // namespace

int main() {
  std::optional<te::HpackDecoder> decoder(te::kMiB);
  te::HpackEncoder encoder;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    std::string answer = "ok";
    if (command == "decode") {
      std::string block;
      words >> block;
      answer = decode(*decoder, block);
    } else if (command == "encode") {
      answer = encode(encoder, words);
    } else if (command == "limit") {
      std::string number;
      words >> number;
      encoder.set_peer_limit(static_cast<size_t>(te::parse_int(number).value_or(0)));
    } else {
      decoder.emplace(te::kMiB);
      encoder = te::HpackEncoder();
    }
    std::cout << answer << std::endl;
  }
}
