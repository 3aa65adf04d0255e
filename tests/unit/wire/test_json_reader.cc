#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "padded_copy.h"
#include "wire/json_reader.h"

using te::JsonParser;
using te::JsonType;
using te::JsonValue;
using te::Result;

namespace {

Result<void> dump(JsonValue& value, std::string& out);

Result<void> dump_object(JsonValue& value, std::string& out) {
  out += '{';
  TRY(value.object([&](std::string_view name, JsonValue& inner) -> Result<void> {
    out.append(name).append("@").append(inner.path()).append("=");
    return dump(inner, out);
  }));
  out += '}';
  return {};
}

Result<void> dump_array(JsonValue& value, std::string& out) {
  out += '[';
  TRY(value.array([&](JsonValue& inner) -> Result<void> { return dump(inner, out); }));
  out += ']';
  return {};
}

/// Reads everything; strings in quotes, a field as name@path=.
Result<void> dump(JsonValue& value, std::string& out) {
  switch (value.type()) {
    case JsonType::kObject: return dump_object(value, out);
    case JsonType::kArray: return dump_array(value, out);
    case JsonType::kString: out.append("'").append(TRY(value.string())).append("' "); return {};
    case JsonType::kNumber: out.append(std::to_string(TRY(value.integer()))).append(" "); return {};
    case JsonType::kBoolean: out.append(TRY(value.boolean()) ? "true " : "false "); return {};
    case JsonType::kNull: out += "null "; return {};
  }
  return {};
}

std::string outcome(const Result<void>& result, std::string out) { return result ? out : result.error().text(); }

/// What is read, or the error's text.
std::string read_all(std::string_view json) {
  JsonParser parser;
  const PaddedCopy copy(json);
  std::string out;
  const auto result = parser.parse(copy.text(), [&](JsonValue& root) { return dump(root, out); });
  if (!result) CHECK(result.error().kind == te::ErrorKind::kInvalid);
  return outcome(result, out);
}

/// The same with a handler that reads nothing.
std::string skip_all(std::string_view json) {
  JsonParser parser;
  const PaddedCopy copy(json);
  return outcome(parser.parse(copy.text(), [](JsonValue&) { return Result<void>(); }), "fine");
}

/// The same with a handler that reads the fields of the outermost object and skips their values.
std::string skip_fields(std::string_view json) {
  JsonParser parser;
  const PaddedCopy copy(json);
  return outcome(parser.parse(copy.text(),
                              [](JsonValue& root) {
                                return root.object([](std::string_view, JsonValue&) { return Result<void>(); });
                              }),
                 "fine");
}

std::string nested(char open, char close, int depth) {
  return std::string(static_cast<size_t>(depth), open) + std::string(static_cast<size_t>(depth), close);
}

bool is_bad_json(std::string_view error) { return error.starts_with("invalid JSON at byte "); }

}  // namespace

TEST_CASE("json reader: values and their paths") {
  CHECK(read_all("{}") == "{}");
  CHECK(read_all(" [ ] ") == "[]");
  CHECK(read_all(R"({"a":{"b":[1,"x",{"c":true}]},"d":-0})") == "{a@a={b@a.b=[1 'x' {c@a.b[2].c=true }]}d@d=0 }");
  CHECK(read_all(R"([{"a":1},[[false]]])") == "[{a@[0].a=1 }[[false ]]]");
  CHECK(read_all("\t\r\n{ \"a\" : 1 }\n") == "{a@a=1 }");
}

TEST_CASE("json reader: a field that is null is absent, an element is not") {
  CHECK(read_all(R"({"a":null,"b":1,"c":null})") == "{b@b=1 }");
  CHECK(read_all("[null,1]") == "[null 1 ]");
  CHECK(is_bad_json(read_all(R"({"a":nul,"b":1})")));
  CHECK(is_bad_json(read_all(R"({"a":nulll})")));
  CHECK(is_bad_json(read_all("[nul]")) == is_bad_json(skip_all("[nul]")));
}

TEST_CASE("json reader: escapes are undone") {
  CHECK(read_all(R"(["\"\\\/\b\f\n\r\t"])") == "['\"\\/\b\f\n\r\t' ]");
  CHECK(read_all(R"(["\u00e9\u20ac\ud83d\ude00"])") == "['\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80' ]");
  CHECK(read_all("[\"\\u0000\"]") == std::string("['\0' ]", 6));
  CHECK(read_all(R"({"\u0061":1})") == "{a@a=1 }");
  for (const std::string_view bad : {R"(["\x"])", R"(["\u12"])", R"(["\u12g4"])", R"(["\u"])", R"({"\q":1})"}) {
    CAPTURE(std::string(bad));
    CHECK(is_bad_json(read_all(bad)));
    CHECK(is_bad_json(skip_all(bad)));
  }
}

TEST_CASE("json reader: surrogates that stand alone are refused") {
  for (const std::string_view bad :
       {R"(["\ud800"])", R"(["\udc00"])", R"(["\ud800x"])", R"(["\ud800\ud800"])", R"(["\udc00\ud800"])",
        R"(["\ud83d\u0041"])", R"({"\ud800":1})", R"({"\udfff":1})"}) {
    CAPTURE(std::string(bad));
    CHECK(is_bad_json(read_all(bad)));
    CHECK(is_bad_json(skip_all(bad)));
  }
  // U+D7FF is none, though it begins with the same byte.
  CHECK(read_all(R"(["\ud7ff"])") == "['\xED\x9F\xBF' ]");
}

TEST_CASE("json reader: integers are integers") {
  CHECK(read_all("[0,-1,9223372036854775807,-9223372036854775808]") ==
        "[0 -1 9223372036854775807 -9223372036854775808 ]");
  for (const std::string_view bad : {"1.0", "1e3", "1E3", "0.5", "-0.0", "9223372036854775808", "-9223372036854775809",
                                     "18446744073709551615", "100000000000000000000000"}) {
    CAPTURE(std::string(bad));
    CHECK(read_all("[" + std::string(bad) + "]") == "[0]: must be an integer of 64 bits");
    CHECK(skip_all("[" + std::string(bad) + "]") == "fine");
  }
  for (const std::string_view bad :
       {"01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "1a", "--1", "- 1", "-01", "00"}) {
    CAPTURE(std::string(bad));
    CHECK(is_bad_json(read_all("[" + std::string(bad) + "]")));
    CHECK(is_bad_json(skip_all("[" + std::string(bad) + "]")));
  }
}

TEST_CASE("json reader: a value of the wrong kind is refused with its path") {
  JsonParser parser;
  const auto refusal = [&](std::string_view json, auto read) {
    const PaddedCopy copy(json);
    const Result<void> result = parser.parse(copy.text(), [&](JsonValue& root) {
      return root.object([&](std::string_view, JsonValue& value) {
        return value.array([&](JsonValue& one) -> Result<void> { return read(one); });
      });
    });
    REQUIRE(!result);
    CHECK(result.error().kind == te::ErrorKind::kInvalid);
    return result.error().context;
  };
  const auto string = [](JsonValue& one) -> Result<void> {
    TRY(one.string());
    return {};
  };
  const auto integer = [](JsonValue& one) -> Result<void> {
    TRY(one.integer());
    return {};
  };
  const auto boolean = [](JsonValue& one) -> Result<void> {
    TRY(one.boolean());
    return {};
  };
  const auto object = [](JsonValue& one) {
    return one.object([](std::string_view, JsonValue&) { return Result<void>(); });
  };
  const auto array = [](JsonValue& one) { return one.array([](JsonValue&) { return Result<void>(); }); };
  CHECK(refusal(R"({"a":["x",1]})", string) == "a[1]: must be a string");
  CHECK(refusal(R"({"a":[null]})", string) == "a[0]: must be a string");
  CHECK(refusal(R"({"a":[1,2,"3"]})", integer) == "a[2]: must be an integer");
  CHECK(refusal(R"({"a":[true]})", integer) == "a[0]: must be an integer");
  CHECK(refusal(R"({"a":[0]})", boolean) == "a[0]: must be true or false");
  CHECK(refusal(R"({"a":["true"]})", boolean) == "a[0]: must be true or false");
  CHECK(refusal(R"({"a":[[]]})", object) == "a[0]: must be an object");
  CHECK(refusal(R"({"a":[{}]})", array) == "a[0]: must be an array");
  CHECK(refusal(R"({"a":{}})", string) == "a: must be an array");
  CHECK(refusal(R"([])", string) == "must be an object");
}

TEST_CASE("json reader: true, false and null are whole words") {
  for (const std::string_view bad : {"tru", "truee", "True", "fals", "falsee", "nul", "nulll", "t", "f", "n", "NaN"}) {
    CAPTURE(std::string(bad));
    CHECK(is_bad_json(skip_all("[" + std::string(bad) + "]")));
    CHECK(is_bad_json(skip_fields("{\"a\":" + std::string(bad) + "}")));
    CHECK(is_bad_json(read_all("{\"a\":" + std::string(bad) + "}")));
  }
}

TEST_CASE("json reader: a name that comes twice in one object is refused") {
  CHECK(read_all(R"({"a":1,"b":2,"a":1})") == "a: the field is there twice");
  CHECK(read_all(R"({"x":{"a":null,"a":1}})") == "x.a: the field is there twice");
  CHECK(read_all(R"({"a":1,"\u0061":2})") == "a: the field is there twice");
  CHECK(skip_all(R"([{"u":{"a":1,"a":2}}])") == "[0].u.a: the field is there twice");
  CHECK(read_all(R"({"a":1,"b":{"a":1},"c":{"a":1}})") == "{a@a=1 b@b={a@b.a=1 }c@c={a@c.a=1 }}");
  CHECK(read_all(R"({"":1,"":2})") == R"("": the field is there twice)");
}

TEST_CASE("json reader: a name that comes twice among many is refused") {
  for (const int count : {30, 31, 32, 33, 34, 100}) {
    for (const int twin : {0, count / 2, count - 1}) {
      std::string json = "{";
      for (int i = 0; i < count; ++i) json += "\"f" + std::to_string(i) + "\":0,";
      const std::string name = "f" + std::to_string(twin);
      CHECK(skip_all(json + "\"last\":0}") == "fine");
      CHECK(skip_all(json + "\"" + name + "\":0}") == name + ": the field is there twice");
    }
  }
}

TEST_CASE("json reader: the place of bad JSON is told") {
  CHECK(read_all("") == "invalid JSON at byte 0: there is no text");
  CHECK(is_bad_json(read_all("  \n ")));
  CHECK(read_all("{\"a\":1} x") == "invalid JSON at byte 8: something stands behind the document");
  CHECK(read_all("[1,2]]") == "invalid JSON at byte 5: something stands behind the document");
  CHECK(read_all("{}{}") == "invalid JSON at byte 2: something stands behind the document");
  CHECK(read_all("[],") == "invalid JSON at byte 2: something stands behind the document");
  CHECK(read_all("{\"a\" 1}") == "invalid JSON at byte 5: unexpected character");
  CHECK(read_all("[1 2]") == "invalid JSON at byte 3: unexpected character");
  CHECK(read_all("[\"a\nb\"]") == "invalid JSON at byte 3: a control character in a string");
  CHECK(read_all("{\"abc") == "invalid JSON at byte 5: a string is not closed");
  CHECK(read_all("[\"a\\\"]") == "invalid JSON at byte 6: a string is not closed");
}

TEST_CASE("json reader: the place of a byte that is not UTF-8 is told") {
  for (size_t before = 0; before < 20; ++before) {
    const std::string good = "[\"" + std::string(before, 'a');
    for (const std::string_view bad :
         {"\xFF", "\x80\x80\x80\x80\x80\x80\x80\x80", "\xC3", "\xE2\x82", "\xED\xA0\x80"}) {
      for (const size_t after : {size_t{0}, size_t{1}, size_t{50}}) {
        const std::string text = good + std::string(bad) + std::string(after, 'z') + "\"]";
        CAPTURE(text);
        CHECK(read_all(text) == "invalid JSON at byte " + std::to_string(good.size()) + ": not UTF-8");
        CHECK(read_all(text) == skip_all(text));
      }
    }
    CHECK(read_all("[\"\xC3\xA9\xE2\x82\xAC" + std::string(before, 'a') + "\xC3\"]") ==
          "invalid JSON at byte " + std::to_string(before + 7) + ": not UTF-8");
  }
}

TEST_CASE("json reader: what is not closed or not well formed is refused, read or skipped") {
  for (const std::string_view bad : {"{",
                                     "[",
                                     "[1",
                                     "[1,",
                                     "{\"a\"",
                                     "{\"a\":",
                                     "{\"a\":1",
                                     "{\"a\":1,",
                                     "{\"a\":[}",
                                     "[}",
                                     "{]",
                                     "[1}",
                                     "{\"a\":1]",
                                     "[,]",
                                     "[1,]",
                                     "[,1]",
                                     "{,}",
                                     "{\"a\":1,}",
                                     "{\"a\"}",
                                     "{\"a\":}",
                                     "{a:1}",
                                     "{1:1}",
                                     "['a']",
                                     "[1][",
                                     "{\"a\":1 1}",
                                     "[{\"a\" 1}]",
                                     "[{\"a\":1,,\"b\":2}]",
                                     "[[1,2],[3,]",
                                     "{\"a\":\"b\"\"c\"}",
                                     "[1;2]",
                                     "]",
                                     "}",
                                     ":",
                                     ",",
                                     "\"a",
                                     "[\"a]",
                                     "//x\n[]",
                                     "[/*x*/]"}) {
    CAPTURE(std::string(bad));
    CHECK(is_bad_json(read_all(bad)));
    CHECK(is_bad_json(skip_all(bad)));
    CHECK(is_bad_json(skip_fields("{\"x\":" + std::string(bad) + "}")));
  }
}

TEST_CASE("json reader: each cut of a document is refused") {
  const std::string whole = R"({"a":[1,{"b":"c\n"},null,true],"d":{"e":-1},"f":"\u00e9"})";
  REQUIRE(skip_all(whole) == "fine");
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(is_bad_json(read_all(whole.substr(0, size))));
    CHECK(is_bad_json(skip_all(whole.substr(0, size))));
  }
}

TEST_CASE("json reader: depth has a bound") {
  CHECK(skip_all(nested('[', ']', te::kJsonMaxDepth)) == "fine");
  CHECK(read_all(nested('[', ']', te::kJsonMaxDepth + 1)).ends_with("nested too deeply"));
  CHECK(is_bad_json(skip_all(nested('[', ']', te::kJsonMaxDepth + 1))));
  CHECK(skip_all(nested('[', ']', 100'000)).ends_with("nested too deeply"));
  std::string objects;
  for (int i = 0; i < te::kJsonMaxDepth; ++i) objects += "{\"a\":";
  CHECK(skip_all(objects + "1" + std::string(te::kJsonMaxDepth, '}')) == "fine");
  CHECK(skip_all("[" + objects + "1" + std::string(te::kJsonMaxDepth, '}') + "]").ends_with("nested too deeply"));
  // Depth goes down again.
  std::string wide = "[";
  for (int i = 0; i < 3 * te::kJsonMaxDepth; ++i) wide += "[[]],{},";
  CHECK(skip_all(wide + "0]") == "fine");
}

TEST_CASE("json reader: a scalar is no document") {
  for (const std::string_view scalar : {"1", "\"a\"", "true", "null", "-1.5"}) {
    CAPTURE(std::string(scalar));
    CHECK(skip_all(scalar) == "must be an object or an array");
  }
}

TEST_CASE("json reader: a long name is cut in the path") {
  const std::string name(10'000, 'n');
  const std::string error = read_all("{\"" + name + "\":1.5}");
  CHECK(error.size() < 200);
  CHECK(error.ends_with(": must be an integer of 64 bits"));
}

TEST_CASE("json reader: the handler's own error is passed on") {
  JsonParser parser;
  const PaddedCopy copy(R"({"a":{"b":1}})");
  const Result<void> result = parser.parse(copy.text(), [](JsonValue& root) {
    return root.object([](std::string_view, JsonValue& a) {
      return a.object([](std::string_view, JsonValue& b) -> Result<void> { return b.error("no"); });
    });
  });
  REQUIRE(!result);
  CHECK(result.error().context == "a.b: no");
}

TEST_CASE("json reader: one parser reads many documents, big and small, good and bad") {
  JsonParser parser;
  const std::string big = "[\"" + std::string(100'000, 'x') + "\"]";
  for (int turn = 0; turn < 3; ++turn) {
    for (const std::string_view json : {std::string_view("{\"a\":[1,2]}"), std::string_view("[{"),
                                        std::string_view(big), std::string_view(""), std::string_view("[\"y\"]")}) {
      const PaddedCopy copy(json);
      std::string out;
      const Result<void> result = parser.parse(copy.text(), [&](JsonValue& root) { return dump(root, out); });
      CHECK(result.ok() == (json.size() > 2));
      if (json.size() == 5) CHECK(out == "['y' ]");
      if (json.size() > 1'000) CHECK(out.size() == json.size() + 1);
    }
  }
}

TEST_CASE("json reader: no byte behind the text counts") {
  std::string bytes = "[1,2]" + std::string(te::kJsonPadding, ',');
  JsonParser parser;
  std::string out;
  CHECK(parser.parse({bytes.data(), 5}, [&](JsonValue& root) { return dump(root, out); }));
  CHECK(out == "[1 2 ]");
  bytes = "[1,2" + std::string(te::kJsonPadding, ']');
  CHECK(!parser.parse({bytes.data(), 4}, [](JsonValue&) { return Result<void>(); }));
}
