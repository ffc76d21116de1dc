#include "tests/fuzz/mutation.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace sigma::fuzz {
namespace {

class Random {  // splitmix64
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  size_t below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(next() % n); }

 private:
  uint64_t state_;
};

using Change = void (*)(std::string& file, Random& random);

void flip_bit(std::string& file, Random& random) {
  const size_t at = random.below(file.size());
  file[at] = static_cast<char>(file[at] ^ 1 << random.below(8));
}
void set_byte(std::string& file, Random& random) {
  constexpr std::string_view kTelling("\x00\x01\x7f\x80\xff\xfe\x10\x20\"{}[],:0919-e", 21);
  file[random.below(file.size())] = kTelling[random.below(kTelling.size())];
}
void any_byte(std::string& file, Random& random) {
  file[random.below(file.size())] = static_cast<char>(random.next());
}
void set_word(std::string& file, Random& random) {
  constexpr uint32_t kTelling[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x00010000};
  const uint32_t value = kTelling[random.below(std::size(kTelling))];
  const size_t at = random.below(file.size()), bytes = std::min<size_t>(4, file.size() - at);
  for (size_t i = 0; i < bytes; ++i) file[at + i] = static_cast<char>(value >> (24 - 8 * i));
}
void set_digit(std::string& file, Random& random) {
  const size_t start = random.below(file.size());
  const size_t at = file.find_first_of("0123456789", start);
  if (at != file.npos) file.replace(at, 1, std::to_string(random.next() >> random.below(64)));
}
void drop_part(std::string& file, Random& random) {
  const size_t at = random.below(file.size());
  file.erase(at, 1 + random.below(std::min<size_t>(64, file.size() - at)));
}
void repeat_part(std::string& file, Random& random) {
  const size_t at = random.below(file.size());
  const std::string part = file.substr(at, 1 + random.below(64));
  const size_t times = 1 + random.below(random.below(16) == 0 ? 200 : 2);
  for (size_t i = 0; i < times; ++i) file.insert(at, part);
}
void move_part(std::string& file, Random& random) {
  const size_t from = random.below(file.size());
  const std::string part = file.substr(from, 1 + random.below(32));
  const size_t to = random.below(file.size());
  file.replace(to, std::min(part.size(), file.size() - to), part);
}
void cut(std::string& file, Random& random) { file.resize(random.below(file.size())); }

}  // namespace

Bytes mutated(const Target& target, uint64_t number) {
  constexpr Change kChanges[] = {flip_bit,  set_byte, any_byte,    set_word,  set_digit,
                                 drop_part, set_byte, repeat_part, move_part, flip_bit};
  Random random(number);
  static std::map<const Target*, std::vector<std::string>> samples;  // a checkpoint's take their time
  std::vector<std::string>& seeds = samples[&target];
  if (seeds.empty()) seeds = target.seeds();
  std::string file = seeds[random.below(seeds.size())];
  for (size_t changes = 1 + random.below(4); changes > 0 && !file.empty(); --changes)
    kChanges[random.below(std::size(kChanges))](file, random);
  if (random.below(20) == 0 && !file.empty()) cut(file, random);
  return Bytes(file.begin(), file.end());
}

}  // namespace sigma::fuzz
