// SHA-256 (FIPS 180-4), by libmd, for the digests of weights, data sets and downloads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace sigma {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(const void* data, size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  // The digest of everything so far, as 64 lower-case hexadecimal digits. More may follow, from the first
  // byte on: the state starts anew.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sigma
