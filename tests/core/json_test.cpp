#include "core/json.h"

#include <nlohmann/json.hpp>

#include "core/text.h"
#include "tests/support/support.h"

using namespace sigma;

namespace {

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, ErrorKind::usage, "x.json", limits);
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::usage);
    return e.what();
  }
  return "accepted";
}

std::string nested(int levels, const std::string& open, const std::string& close) {
  std::string text;
  for (int i = 0; i < levels; ++i) text += open;
  text += "1";
  for (int i = 0; i < levels; ++i) text += close;
  return text;
}

template <class T>
std::string type_refusal(const char* text) {
  try {
    json_get<T>(parse_json(text, ErrorKind::data, ""), "step", ErrorKind::checkpoint, "metadata");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::checkpoint);
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("json: values come back as they were written, keys in their order") {
  const std::string text =
      R"({"b":[1,-2,3.5,true,null,"x\u00e9"],"a":{"z":{},"y":[]},"big":18446744073709551615})";
  CHECK(parse_json(text, ErrorKind::data, "").dump() ==
        R"({"b":[1,-2,3.5,true,null,"xé"],"a":{"z":{},"y":[]},"big":18446744073709551615})");
  CHECK(parse_json(" 7 \n", ErrorKind::data, "") == 7);
}

// nlohmann's parser keeps no stack, but copying, dumping and comparing what it made of 40,000 levels did: the
// stack overflowed.
TEST_CASE("json: more than 64 levels are refused, 64 are not") {
  CHECK(refusal(nested(64, "[", "]")) == "accepted");
  CHECK(refusal(nested(65, "[", "]")) == "x.json: at byte 64 (line 1): nested more than 64 levels deep");
  CHECK(refusal(nested(64, "{\"a\":", "}")) == "accepted");
  CHECK(refusal(nested(65, "{\"a\":", "}")) ==
        "x.json: at byte 320 (line 1): nested more than 64 levels deep");
  CHECK(refusal(nested(40000, "[", "]")) == "x.json: at byte 64 (line 1): nested more than 64 levels deep");
  CHECK(refusal(std::string(1 << 20, '[')) == "x.json: at byte 64 (line 1): nested more than 64 levels deep");
  CHECK(refusal("[[]]", {.depth = 1}) == "x.json: at byte 1 (line 1): nested more than 1 levels deep");
}

TEST_CASE("json: a key that appears twice is refused at every depth") {
  CHECK(refusal(R"({"a":1,"a":2})") == "x.json: at byte 9 (line 1): \"a\" appears twice");
  CHECK(refusal("{\"a\":1,\n\"b\":[{\"c\":1,\"c\":1}]}") ==
        "x.json: at byte 22 (line 2): \"c\" appears twice");
  CHECK(refusal(R"({"a":1,"\u0061":2})") == "x.json: at byte 14 (line 1): \"a\" appears twice");
  CHECK(refusal(R"({"a":{"a":1},"b":{"a":1}})") == "accepted");
}

TEST_CASE("json: text after the value is refused, after a NUL too") {
  CHECK(refusal("{} {}") == "x.json: at byte 3 (line 1): expected nothing after the value");
  CHECK(refusal(std::string_view("{}\0{}", 5)) == "x.json: at byte 2 (line 1): a NUL is not valid JSON");
  CHECK(refusal(std::string_view("{}\0", 3)) == "x.json: at byte 2 (line 1): a NUL is not valid JSON");
}

TEST_CASE("json: what is no JSON is refused in our own words") {
  CHECK(refusal("") == "x.json: at byte 0 (line 1): expected JSON, found nothing");
  CHECK(refusal("{\"a\":") == "x.json: at byte 5 (line 1): the JSON is cut off");
  CHECK(refusal("{\n\"a\":\n\"b\n") == "x.json: at byte 9 (line 3): this is not valid JSON: \"b<U+000A>");
  CHECK(refusal("{\"a\":\"\xff\"}") == "x.json: at byte 6 (line 1): byte ff is not valid UTF-8");
  CHECK(refusal("[1e400]") == "x.json: at byte 5 (line 1): a number is too large");
  CHECK(refusal("[1,2,3]", {.values = 3}) == "x.json: at byte 6 (line 1): more than 3 values");
  for (const char* text : {"{a:1}", "[1,]", "{\"a\":1,}", "'a'", "nul", "+1", "01", ".5", "NaN", "[1 2]",
                           "\"\\ud800\"", "\"\\x\"", "// a\n1", "]", "}", ",", "\"a"}) {
    INFO(text);
    CHECK(refusal(text).rfind("x.json: at byte ", 0) == 0);
    CHECK(refusal(text).find("exception") == std::string::npos);
  }
}

// ordered_json looks through all keys for each that is added: a megabyte of short ones took a minute.
TEST_CASE("json: many keys in one object take time in proportion") {
  std::string text = "{";
  for (int i = 0; i < 60000; ++i) text += fmt::format("{}\"{}\":0", i ? "," : "", i);
  CHECK(parse_json(text + "}", ErrorKind::data, "").size() == 60000);
}

TEST_CASE("json_get: a value of another type is refused with what was expected and what came") {
  CHECK(type_refusal<int64_t>("{}") == "metadata: \"step\" is missing");
  CHECK(type_refusal<int64_t>("[1]") == "metadata: expected an object with \"step\", got [1]");
  CHECK(type_refusal<int64_t>(R"({"step":"x"})") ==
        "metadata: expected a whole number in \"step\", got \"x\"");
  CHECK(type_refusal<int64_t>(R"({"step":1.7})") == "metadata: expected a whole number in \"step\", got 1.7");
  CHECK(type_refusal<int64_t>(R"({"step":1e15})") ==
        "metadata: expected a whole number in \"step\", got 1e+15");
  CHECK(type_refusal<int64_t>(R"({"step":18446744073709551615})") ==
        "metadata: expected a whole number in \"step\", got 18446744073709551615");
  CHECK(type_refusal<int>(R"({"step":2147483648})") ==
        "metadata: expected a whole number in \"step\", got 2147483648");
  CHECK(type_refusal<uint64_t>(R"({"step":-1})") ==
        "metadata: expected a whole number of at least 0 in \"step\", got -1");
  CHECK(type_refusal<double>(R"({"step":null})") == "metadata: expected a number in \"step\", got null");
  CHECK(type_refusal<bool>(R"({"step":1})") == "metadata: expected true or false in \"step\", got 1");
  CHECK(type_refusal<std::string>(R"({"step":{"a":1}})") ==
        "metadata: expected a text in \"step\", got an object");
  CHECK(type_refusal<std::vector<double>>(R"({"step":[1,"a"]})") ==
        "metadata: expected a list of numbers in \"step\", got [1,\"a\"]");
  CHECK(type_refusal<std::vector<int64_t>>(R"({"step":[1,2.5]})") ==
        "metadata: expected a list of whole numbers in \"step\", got [1,2.5]");
  CHECK(type_refusal<std::vector<std::string>>(R"({"step":[1,2,3,4,5,6,7,8,9]})") ==
        "metadata: expected a list of texts in \"step\", got a list of 9");
}

TEST_CASE("json_get: values, defaults and bounds") {
  const Json j = parse_json(R"({"n":-3,"x":2,"t":"a","l":[1,2],"o":{"k":true}})", ErrorKind::data, "");
  const ErrorKind kind = ErrorKind::data;
  CHECK(json_get<int64_t>(j, "n", kind, "") == -3);
  CHECK(json_get<double>(j, "x", kind, "") == 2.0);
  CHECK(json_get<std::string>(j, "t", kind, "") == "a");
  CHECK(json_get<std::vector<int64_t>>(j, "l", kind, "") == std::vector<int64_t>{1, 2});
  CHECK(json_get<bool>(json_object(j, "o", kind, ""), "k", kind, ""));
  CHECK(json_get_or<int>(j, "absent", 5, kind, "") == 5);
  CHECK(json_get_or<int>(j, "x", 5, kind, "") == 2);
  CHECK_THROWS_AS(json_get_or<int>(j, "t", 5, kind, ""), Error);
  CHECK(json_whole(j, "x", 0, 2, kind, "") == 2);
  CHECK_THROWS_WITH(json_whole(j, "n", 0, 9, kind, "p"),
                    "p: expected a whole number from 0 to 9 in \"n\", got -3");
  CHECK_THROWS_WITH(json_array(j, "o", kind, "p"), "p: expected a list in \"o\", got an object");
  CHECK(json_find(j, "absent") == nullptr);
}

TEST_CASE("text: what is not UTF-8 is found, by the byte") {
  for (const char* good : {"", "a", "é", "€", "\U0001f600", "\xf4\x8f\xbf\xbf"}) CHECK(is_utf8(good));
  // overlong, surrogate, above U+10FFFF, continuation alone, cut off
  for (const char* bad : {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xc3",
                          "\xe2\x82", "\xf0\x9f\x98", "\xff", "\xf8\x88\x80\x80\x80"}) {
    CHECK(invalid_utf8_at(bad) == 0);
    CHECK(invalid_utf8_at(std::string("ab") + bad) == 2);
  }
}

TEST_CASE("text: what a terminal would obey is escaped, all else stays") {
  CHECK(printable("naïve 日本 a\\b") == "naïve 日本 a\\b");
  CHECK(printable("a\x1b[31m\nb\t\x7f\r") == "a\\x1b[31m\\nb\\t\\x7f\\x0d");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  CHECK(printable("\xc2\x9b"
                  "1m") == "\\xc2\\x9b1m");  // CSI of the C1 set
  CHECK(printable("\xe2\x80\xae"
                  "abc") == "\\xe2\\x80\\xaeabc");  // turns the direction of writing
  CHECK(printable(printable("a\x1b\xff")) == printable("a\x1b\xff"));
  CHECK_FALSE(is_printable("a\nb"));
}

TEST_CASE("an error's message never holds raw control characters or bytes that are no UTF-8") {
  CHECK_THROWS_WITH(throw_error(ErrorKind::data, "a\x1b[2J", "\xff\n"), "a\\x1b[2J: \\xff\\n");
}

TEST_CASE("an error keeps its place apart from what it says, and can be said of another place", "[text]") {
  const Error e(ErrorKind::data, "a\nb.json", "at byte 7: expected: a number");
  CHECK(std::string(e.what()) == "a\\nb.json: at byte 7: expected: a number");
  CHECK(e.place() == "a\\nb.json");
  const Error other = e.at("--config");
  CHECK(std::string(other.what()) == "--config: at byte 7: expected: a number");
  CHECK(other.kind() == ErrorKind::data);
  const Error bare(ErrorKind::usage, "[conv2d] expected 3: got 4");
  CHECK(bare.place().empty());
  CHECK(std::string(bare.at("x").what()) == "x: [conv2d] expected 3: got 4");
}

TEST_CASE("split is join undone", "[text]") {
  for (const std::vector<std::string>& parts :
       {std::vector<std::string>{""}, {"a"}, {"a", "b"}, {"", ""}, {"a", "", "b", ""}})
    CHECK(split(join(parts, ","), ',') == parts);
}
