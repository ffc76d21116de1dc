// Patterns with * and ?, and the nearest of known words.
#include "core/text.h"

#include "tests/support/support.h"

using namespace sigma;

namespace {

// The definition, character by character.
bool plain(const std::string& pattern, const std::string& text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*')
    return plain(pattern.substr(1), text) || (!text.empty() && plain(pattern, text.substr(1)));
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         plain(pattern.substr(1), text.substr(1));
}

std::vector<std::string> words(const std::string& letters, size_t length) {
  std::vector<std::string> all{""};
  for (size_t begin = 0, end = 1, n = 0; n < length; ++n, begin = end, end = all.size())
    for (size_t i = begin; i < end; ++i)
      for (char c : letters) all.push_back(all[i] + c);
  return all;
}

}  // namespace

TEST_CASE("a pattern matches what its definition says, for every short pattern and text", "[text]") {
  int64_t wrong = 0, matched = 0;
  for (const std::string& pattern : words("ab*?", 5))
    for (const std::string& text : words("ab", 5)) {
      wrong += matches_glob(pattern, text) != plain(pattern, text);
      matched += matches_glob(pattern, text);
    }
  CHECK(wrong == 0);
  CHECK(matched > 1000);
  CHECK(matches_glob("layer1.*.conv?.weight", "layer1.0.conv2.weight"));
  CHECK_FALSE(matches_glob("layer1.*.conv?", "layer1.0.conv2.weight"));
  // Many stars on a long text that does not fit, which takes the definition forever.
  std::string stars;
  for (int i = 0; i < 100; ++i) stars += "*a";
  CHECK_FALSE(matches_glob(stars + "b", std::string(10000, 'a')));
}

TEST_CASE("the nearest word is by edit distance, and none when all are far", "[text]") {
  CHECK(nearest("conv3", {"conv1", "fc1", "conv33"}) == "conv1");
  CHECK(nearest("bnn", {"conv1", "bn"}) == "bn");
  CHECK(nearest("something", {"fc", "bn"}).empty());
  CHECK(nearest("val-split", {"epochs", "val", "v"}) == "val");
  CHECK(nearest("convolution", {"relu", "conv", "co"}) == "conv");
}
