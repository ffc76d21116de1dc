// safetensors files: what is written comes back, and nothing malformed is accepted.
#include "core/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/math.h"
#include "tests/support/support.h"

using namespace sigma;
namespace fs = std::filesystem;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

std::string text_of(const fs::path& path) {
  Bytes b = read_file(path.string());
  return {b.begin(), b.end()};
}

// Length, header, data.
std::string file_of(const std::string& header, size_t data_bytes = 0) {
  uint64_t n = header.size();
  std::string s(reinterpret_cast<const char*>(&n), 8);
  return s + header + std::string(data_bytes, '\1');
}

SafeTensors sample() {
  SafeTensors s;
  s.tensors["layer.weight"] = test::randn({3, 4, 2, 2}, 1, DType::float32).to(Layout::channels_last);
  s.tensors["layer.bias"] = test::randn({3}, 2, DType::float64);
  s.tensors["image"] = test::random_integers({5, 3}, 0, 255, 3, DType::uint8);
  s.tensors["labels"] = Tensor::from<int64_t>({-1, std::numeric_limits<int64_t>::max(), 0}, {3});
  s.tensors["empty"] = Tensor::zeros({0, 7});
  s.tensors["scalar"] = Tensor::scalar(-2.5);
  s.tensors["special"] = Tensor::from<float>(
      {-0.f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e-45f},
      {2, 2});
  s.tensors["name with \"quotes\", \\ and \xc3\xbc"] = Tensor::ones({1, 1, 1, 1, 1, 1, 1, 1});
  s.metadata = {{"step", "12"}, {"text", "line\nbreak \"quoted\""}, {"", ""}};
  return s;
}

bool same(const SafeTensors& a, const SafeTensors& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  for (auto& [name, t] : a.tensors) {
    auto it = b.tensors.find(name);
    if (it == b.tensors.end() || !identical(t, it->second)) return false;
  }
  return true;
}

// The message of an error of kind checkpoint that names the file.
std::string refusal(const Bytes& bytes) {
  try {
    parse_safetensors(bytes, "some.file");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::checkpoint);
    CHECK(std::string(e.what()).rfind("some.file: ", 0) == 0);
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("tensors of every type and shape come back bit for bit", "[safetensors]") {
  test::TemporaryFolder folder;
  SafeTensors content = sample();
  std::string path = (folder / "a.safetensors").string(), again = (folder / "b.safetensors").string();
  save_safetensors(path, content);
  SafeTensors loaded = load_safetensors(path);
  CHECK(same(content, loaded));
  CHECK(loaded.tensors["scalar"].rank() == 0);
  CHECK(loaded.tensors["empty"].shape() == Shape{0, 7});
  CHECK(std::signbit(loaded.tensors["special"].at({0, 0})));
  save_safetensors(again, loaded);
  CHECK(text_of(path) == text_of(again));
  CHECK(same(parse_safetensors(bytes_of(serialize_safetensors({})), "nothing"), {}));
}

TEST_CASE("the layout in the file is the published one", "[safetensors]") {
  SafeTensors s;
  s.tensors["b"] = Tensor::from<float>({1, 2}, {2});
  s.tensors["a"] = Tensor::from<uint8_t>({7}, {1});
  s.tensors["c"] = Tensor::from<int64_t>({-1}, {});
  std::string text = serialize_safetensors(s);
  // By size of the element, then name, so that each tensor is aligned; padded with spaces to 8 bytes.
  std::string header =
      R"({"c":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[16,17]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  uint64_t n = 0;
  std::memcpy(&n, text.data(), 8);
  CHECK(n == header.size());
  CHECK(text.substr(8, n) == header);
  CHECK(text.substr(8 + n) == std::string("\xff\xff\xff\xff\xff\xff\xff\xff\0\0\x80\x3f\0\0\0\x40\7", 17));
  // Whitespace, other orders of keys and an explicit escape are JSON too.
  SafeTensors other = parse_safetensors(
      bytes_of(file_of(
          R"({ "__metadata__" : {}, "\u0061": {"data_offsets": [0, 1], "shape": [1], "dtype":"U8"} }  )", 1)),
      "other");
  CHECK(other.tensors.at("a").at({0}) == 1);
}

TEST_CASE("one flipped byte anywhere in the data is detected by the digest", "[safetensors]") {
  SafeTensors content = sample();
  add_digest(content);
  CHECK(content.metadata["sha256"].size() == 64);
  Bytes good = bytes_of(serialize_safetensors(content));
  CHECK_NOTHROW(verify_digest(parse_safetensors(good, "good"), "good"));
  uint64_t n = 0;
  std::memcpy(&n, good.data(), 8);
  size_t missed = 0;
  for (size_t i = 8 + n; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= static_cast<uint8_t>(1 << i % 8);
    try {
      verify_digest(parse_safetensors(bad, "bad"), "bad");
      ++missed;
    } catch (const Error& e) { missed += e.kind() != ErrorKind::checkpoint || !contains(e.what(), "bad: "); }
  }
  CHECK(good.size() - 8 - n > 200);
  CHECK(missed == 0);
  // So are changes of names, shapes, types and metadata, which the format itself would accept.
  auto altered = [&](const std::function<void(SafeTensors&)>& change) {
    SafeTensors s = parse_safetensors(good, "good");
    change(s);
    return contains(test::error_of([&] { verify_digest(s, "x"); }), "altered");
  };
  CHECK(altered([](SafeTensors& s) { s.metadata["step"] = "13"; }));
  CHECK(altered([](SafeTensors& s) { s.metadata.erase("step"); }));
  CHECK(altered([](SafeTensors& s) { s.metadata["sha256"] = ""; }));
  CHECK(altered([](SafeTensors& s) { s.tensors.erase("empty"); }));
  CHECK(altered([](SafeTensors& s) { s.tensors["image"] = s.tensors["image"].reshape({3, 5}); }));
  CHECK(altered([](SafeTensors& s) { std::swap(s.tensors["scalar"], s.tensors["layer.bias"]); }));
  CHECK_NOTHROW(verify_digest(sample(), "without a digest"));
}

TEST_CASE("no file cut short or grown is accepted", "[safetensors]") {
  Bytes good = bytes_of(serialize_safetensors(sample()));
  size_t accepted = 0;
  for (size_t size = 0; size < good.size(); ++size)
    accepted += refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))) == "accepted";
  CHECK(accepted == 0);
  good.push_back(0);
  CHECK(contains(refusal(good), "the tensors end at offset"));
}

namespace {

// A malformed file and a part of what is said of it.
struct Case {
  std::string file, expected;
};

// Files with one tensor "t": its fields; a shape and offsets. And one of two tensors at these offsets.
std::string one(const std::string& fields, size_t data = 4) {
  return file_of("{\"t\":{" + fields + "}}", data);
}
std::string shaped(const std::string& shape, const std::string& offsets = "[0,4]", size_t data = 4) {
  return one(R"("dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets, data);
}
std::string two(const std::string& first, const std::string& second, size_t data) {
  return file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + first +
                     R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + second + "}}",
                 data);
}
// The length may be a lie.
std::string length(uint64_t n, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&n), 8) + rest;
}
const std::string kFields = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])",
                  kTensor = "\"t\":{" + kFields + "}";

std::vector<Case> lengths() {
  return {{"", "0 bytes"},
          {"1234567", "7 bytes"},
          {length(0, ""), "at byte 8"},
          {length(3, "{}"), "at byte 0"},
          {length((8 << 20) + 1, std::string((8 << 20) + 1, ' ')), "at byte 0"},
          {length(~uint64_t{0}, "{}"), "at byte 0"},
          {length(uint64_t{1} << 63, "{}"), "at byte 0"},
          {length(~uint64_t{0} - 7, "{}"), "at byte 0"}};  // 8 + n wraps around to 0
}

std::vector<Case> texts_that_are_no_object() {
  return {{file_of(" {}"), "at byte 8"},
          {file_of("[]"), "at byte 8"},
          {file_of("{"), "not valid JSON"},
          {file_of("{}x"), "not valid JSON"},
          {file_of("{}{}"), "not valid JSON"},
          {file_of(std::string("{}\0", 3)), "at byte 10"},
          {file_of(std::string("{}\0{\"t\":1}", 10)), "not valid JSON"},
          {file_of("{" + kTensor + ",}", 4), "not valid JSON"},
          {file_of("{'t':{}}"), "at byte"},
          {file_of("{\"\xff\":{}}"), "not valid JSON"},  // not UTF-8
          {file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4"), "not valid JSON"},
          {file_of("{/* */" + kTensor + "}", 4), "not valid JSON"}};
}

std::vector<Case> depths() {
  return {
      {file_of("{\"t\":" + std::string(100000, '[') + std::string(100000, ']') + "}"), "unexpected array"},
      {shaped(std::string(1000000, '[')), "tensor \"t\": unexpected array"},
      {one(R"("dtype":{"dtype":{}})"), "tensor \"t\": unexpected nested object"},
      {file_of("{\"__metadata__\":{\"a\":{}}}"), "unexpected nested object"}};
}

std::vector<Case> repetitions() {
  return {{file_of("{" + kTensor + "," + kTensor + "}", 4), "\"t\" appears twice"},
          {file_of("{" + kTensor + R"(,"\u0074":{)" + kFields + "}}", 4), "\"t\" appears twice"},
          {one(kFields + R"(,"dtype":"F32")"), "\"dtype\" appears twice"},
          {one(kFields + R"(,"shape":[1])"), "\"shape\" appears twice"},
          {one(kFields + R"(,"data_offsets":[0,4])"), "\"data_offsets\" appears twice"},
          {file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), "\"__metadata__\" appears twice"},
          {file_of("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}"), "\"k\" appears twice"}};
}

std::vector<Case> offsets() {
  return {{two("[0,4]", "[0,4]", 4), "tensor \"b\": starts at offset 0, expected 4"},
          {two("[0,4]", "[2,6]", 6), "tensor \"b\": starts at offset 2, expected 4"},
          {two("[0,4]", "[8,12]", 12), "tensor \"b\": starts at offset 8, expected 4"},
          {two("[4,8]", "[8,12]", 12), "tensor \"a\": starts at offset 4, expected 0"},
          {two("[0,4]", "[4,8]", 7), "tensor \"b\": ends at offset 8"},
          {two("[0,4]", "[4,8]", 9), "the tensors end at offset 8, but the data has 9"},
          {shaped("[1]", "[4,0]"), "tensor \"t\""},
          {shaped("[1]", "[0,3]", 3), "tensor \"t\": offsets 0..3 do not hold the 4 bytes of shape (1)"},
          {shaped("[1]", "[0,5]", 5), "tensor \"t\": offsets 0..5"},
          {shaped("[1]", "[0]"), "tensor \"t\": expected dtype, shape and two data_offsets"},
          {shaped("[1]", "[0,4,8]"), "two data_offsets"},
          {shaped("[1]", "[]"), "two data_offsets"},
          {shaped("[1]", "[0,-4]"), "negative"},
          {shaped("[1]", "[0,4.0]"), "fraction"},
          {shaped("[1]", "4"), "unexpected number"},
          {shaped("[1]", "[18446744073709551612,0]"), "tensor \"t\": starts at offset 18446744073709551612"},
          {shaped("[4611686018427387904]", "[0,18446744073709551615]"), "tensor \"t\""}};
}

std::vector<Case> shapes() {
  return {{shaped("[2]"), "tensor \"t\""},
          {shaped("[4194305,4194305,211106198978564]", "[0,4]"), "the product of its shape overflows"},
          {shaped("[4611686018427387905]"), "its size overflows"},  // times 4 wraps around to 4 bytes
          {shaped("[9223372036854775808,2]"), "overflows"},
          {shaped("[9223372036854775807,2,0]", "[0,0]", 0), "overflows"},  // fits uint64, not int64
          {shaped("[18446744073709551616]"), "fraction"},  // larger than any integer of JSON's
          {shaped("[-1]"), "negative"},
          {shaped("[-0]"), "negative"},
          {shaped("[1.0]"), "fraction"},
          {shaped("[1e0]"), "fraction"},
          {shaped("[\"1\"]"), "unexpected string"},
          {shaped("[true]"), "unexpected boolean"},
          {shaped("[null]"), "unexpected null"},
          {shaped("[[1]]"), "unexpected array"},
          {shaped("[{}]"), "unexpected nested object"},
          {shaped("1"), "unexpected number"},
          {shaped("null"), "unexpected null"},
          {shaped("\"1\""), "unexpected string"},
          {shaped("[1,1,1,1,1,1,1,1,1]"), "more than 8 dimensions"}};
}

std::vector<Case> types() {
  return {{one(R"("dtype":"F16","shape":[2],"data_offsets":[0,4])"), "tensor \"t\": dtype F16"},
          {one(R"("dtype":"f32","shape":[1],"data_offsets":[0,4])"), "dtype f32"},
          {one(R"("dtype":"","shape":[1],"data_offsets":[0,4])"), "tensor \"t\""},
          {one(R"("dtype":3,"shape":[1],"data_offsets":[0,4])"), "unexpected number"},
          {one(R"("dtype":["F32"],"shape":[1],"data_offsets":[0,4])"), "unexpected array"},
          {one(R"("dtype":null,"shape":[1],"data_offsets":[0,4])"), "unexpected null"}};
}

std::vector<Case> fields_and_names() {
  std::string many = "{";
  for (int i = 0; i < 65537; ++i)
    many += fmt::format(R"({}"{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i ? "," : "", i);
  return {{one(R"("shape":[1],"data_offsets":[0,4])"), "tensor \"t\": expected dtype"},
          {one(R"("dtype":"F32","data_offsets":[0,4])"), "tensor \"t\": expected dtype"},
          {one(R"("dtype":"F32","shape":[1])"), "tensor \"t\": expected dtype"},
          {one(""), "tensor \"t\": expected dtype"},
          {one(kFields + R"(,"strides":[1])"), "unknown key \"strides\""},
          {file_of("{\"t\":[]}"), "header: unexpected array"},
          {file_of("{\"t\":1}"), "header: unexpected number"},
          {file_of("{\"t\":\"F32\"}"), "header: unexpected string"},
          {file_of("{\"t\":null}"), "header: unexpected null"},
          {file_of(R"({"":{)" + kFields + "}}", 4), "empty name"},
          {file_of("{}", 1), "the data has 1 bytes"},
          {file_of(many + "}"), "more than 65536 tensors"}};
}

std::vector<Case> metadata() {
  return {{file_of("{\"__metadata__\":{\"k\":1}}"), "unexpected number"},
          {file_of("{\"__metadata__\":{\"k\":null}}"), "unexpected null"},
          {file_of("{\"__metadata__\":{\"k\":[\"a\"]}}"), "unexpected array"},
          {file_of("{\"__metadata__\":{\"k\":true}}"), "unexpected boolean"},
          {file_of("{\"__metadata__\":\"text\"}"), "unexpected string"},
          {file_of("{\"__metadata__\":[]}"), "unexpected array"},
          {file_of("{\"__metadata__\":null}"), "unexpected null"}};
}

}  // namespace

TEST_CASE("malformed headers are refused with the place and the reason", "[safetensors]") {
  size_t count = 0;
  for (const auto& subject : {lengths(), texts_that_are_no_object(), depths(), repetitions(), offsets(),
                              shapes(), types(), fields_and_names(), metadata()})
    for (const Case& c : subject) {
      ++count;
      INFO(c.file.substr(0, 200));
      std::string message = refusal(bytes_of(c.file));
      INFO(message.substr(0, 300));
      bool found = contains(message, c.expected);
      CHECK(found);
    }
  CHECK(count >= 80);
  // The pattern that the cases vary is itself accepted.
  CHECK(refusal(bytes_of(shaped("[1]"))) == "accepted");
  CHECK(refusal(bytes_of(two("[4,8]", "[0,4]", 8))) == "accepted");  // the header's order is free
}

TEST_CASE("random damage to a header is refused or gives another valid file, never worse", "[safetensors]") {
  Bytes good = bytes_of(serialize_safetensors(sample()));
  uint64_t n = 0;
  std::memcpy(&n, good.data(), 8);
  int refused = 0, wrong = 0;
  for (size_t i = 0; i < 8 + n; ++i)
    for (int bit = 0; bit < 8; ++bit) {
      Bytes bad = good;
      bad[i] ^= static_cast<uint8_t>(1 << bit);
      try {
        parse_safetensors(bad, "bad");
      } catch (const Error& e) {
        ++refused;
        wrong += e.kind() != ErrorKind::checkpoint;
      }
    }
  CHECK(wrong == 0);
  CHECK(refused > 3000);
}
