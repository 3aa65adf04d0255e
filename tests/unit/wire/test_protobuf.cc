#include <doctest/doctest.h>

#include <string>

#include "hex.h"
#include "wire/protobuf.h"

using te::ProtoField;
using te::ProtoReader;
using te::ProtoType;
using te::ProtoWriter;

namespace {

std::string dump(std::string_view bytes) {
  ProtoReader reader(bytes);
  std::string out;
  for (;;) {
    ProtoField field;
    const te::Result<bool> more = reader.next(field);
    if (!more) return out + "error: " + more.error().context;
    if (!*more) return out;
    out += std::to_string(field.number) + "=";
    out += field.type == ProtoType::kBytes ? "'" + std::string(field.bytes) + "' " : std::to_string(field.value) + " ";
  }
}

}  // namespace

TEST_CASE("protobuf: what is written") {
  std::string out;
  ProtoWriter writer(out);
  writer.integer(1, 150);
  CHECK(to_hex(out) == "089601");
  out.clear();
  writer.text(2, "testing");
  CHECK(to_hex(out) == "120774657374696e67");
  out.clear();
  writer.integer(5, -1);  // ten octets, also for an int32
  CHECK(to_hex(out) == "28ffffffffffffffffff01");
  out.clear();
  writer.integer(1, INT64_MIN);
  CHECK(to_hex(out) == "0880808080808080808001");
  out.clear();
  writer.boolean(18, true);
  CHECK(to_hex(out) == "900101");
}

TEST_CASE("protobuf: defaults are left out, presence is kept") {
  std::string out;
  ProtoWriter writer(out);
  writer.integer(1, 0);
  writer.text(2, "");
  writer.boolean(3, false);
  CHECK(out.empty());
  writer.element(4, "");
  CHECK(to_hex(out) == "2200");
  out.clear();
  writer.message(15, [](ProtoWriter&) {});
  CHECK(to_hex(out) == "7a00");
  out.clear();
  writer.wrapped(5, 0);
  writer.wrapped(6, 7);
  CHECK(to_hex(out) ==
        "2a00"
        "32020807");
}

TEST_CASE("protobuf: messages within messages, short and long") {
  std::string out;
  ProtoWriter writer(out);
  writer.message(1, [](ProtoWriter& a) {
    a.text(1, "x");
    a.message(2, [](ProtoWriter& b) { b.text(1, std::string(300, 'y')); });
    a.text(3, "z");
  });
  ProtoField field;
  ProtoReader reader(out);
  REQUIRE(*reader.next(field));
  CHECK(dump(field.bytes) == "1='x' 2='" + from_hex("0aac02") + std::string(300, 'y') + "' 3='z' ");
  CHECK_FALSE(*reader.next(field));
}

TEST_CASE("protobuf: what is read") {
  CHECK(dump("") == "");
  CHECK(dump(from_hex("08 96 01 12 02 68 69")) == "1=150 2='hi' ");
  CHECK(dump(from_hex("0d 01 02 03 04 11 01 00 00 00 00 00 00 80")) == "1=67305985 2=9223372036854775809 ");
  CHECK(dump(from_hex("28 ff ff ff ff ff ff ff ff ff 01")) == "5=18446744073709551615 ");
  CHECK(dump(from_hex("f8 ff ff ff 0f 01")) == "536870911=1 ");
}

TEST_CASE("protobuf: groups are skipped") {
  CHECK(dump(from_hex("0b 08 01 13 12 01 61 14 0c 10 02")) == "2=2 ");
  CHECK(dump(from_hex("0b 08 01")) == "error: a number is cut off");
  CHECK(dump(from_hex("0b 14")) == "error: a group ends that was not begun");
  CHECK(dump(from_hex("0c")) == "error: an unknown wire type");
  CHECK(dump(std::string(17, '\x0b')) == "error: groups nested too deeply");
}

TEST_CASE("protobuf: no length is trusted") {
  CHECK(dump(from_hex("12 05 61")) == "error: a field is cut off");
  CHECK(dump(from_hex("12 ff ff ff ff ff ff ff ff ff 01")) == "error: a field is cut off");
  CHECK(dump(from_hex("08")) == "error: a number is cut off");
  CHECK(dump(from_hex("08 80")) == "error: a number is cut off");
  CHECK(dump(from_hex("08 ff ff ff ff ff ff ff ff ff 02")) == "error: a number has more than 64 bits");
  CHECK(dump(from_hex("08 80 80 80 80 80 80 80 80 80 80 01")) == "error: a number has more than 64 bits");
  CHECK(dump(from_hex("00 01")) == "error: a bad field number");
  CHECK(dump(from_hex("80 80 80 80 10 01")) == "error: a bad field number");
  CHECK(dump(from_hex("0e")) == "error: an unknown wire type");
  CHECK(dump(from_hex("0d 01 02 03")) == "error: a field is cut off");
}

TEST_CASE("protobuf: typed values") {
  ProtoField field;
  field.value = 0xffff'ffff'ffff'ff80U;
  int64_t wide = 0;
  uint64_t unsigned_wide = 0;
  int32_t narrow = 0;
  uint32_t unsigned_narrow = 0;
  std::string text;
  CHECK(field.into(wide));
  CHECK(wide == -128);
  CHECK(field.into(unsigned_wide));
  CHECK(unsigned_wide == field.value);
  CHECK(field.into(narrow));
  CHECK(narrow == -128);
  CHECK(field.into(unsigned_narrow));
  CHECK(unsigned_narrow == 0xffff'ff80U);
  CHECK_FALSE(field.into(text));
  CHECK_FALSE(te::read_fields(field, [](const ProtoField&) -> te::Result<void> { return {}; }));
  field.number = 7;
  field.type = ProtoType::kBytes;
  field.bytes = "abc";
  CHECK(field.into(text));
  CHECK(text == "abc");
  CHECK(field.into(wide).error().context == "field 7 has the wrong wire type");
  CHECK_FALSE(field.into(unsigned_wide));
  CHECK_FALSE(field.into(narrow));
  CHECK_FALSE(field.into(unsigned_narrow));
}
