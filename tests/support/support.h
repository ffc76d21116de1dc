// What the tests share.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/sanitized.h"
#include "layers/module.h"
#include "tests/support/catch.h"

namespace sigma::test {

// kSanitized makes tests up to ten times as slow, so a few take a smaller case then.

// Marks the running test as skipped, visibly; the test returns after it.
void skip(const std::string& why);
bool was_skipped();

// The folder with real data ($SIGMA_DATA_DIR, else ~/.cache/sigma), or an empty path when `name` is not in
// it.
std::filesystem::path real_data(const std::string& name);

// A folder that is removed at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Runs a program without a shell; `env` are NAME=value additions.
struct RunResult {
  int exit_code = -1;  // 128 + signal when killed
  std::string out, err;
};
RunResult run(const std::vector<std::string>& command, const std::vector<std::string>& env = {},
              double timeout_s = 900);
// The same for the sigma binary.
RunResult run_sigma(std::vector<std::string> arguments, const std::vector<std::string>& env = {},
                    double timeout_s = 900);

// Standard normal float32 or float64 values.
Tensor randn(const Shape& shape, uint64_t seed, DType dtype = DType::float64);
// Integers in low..high, for tests with tolerance zero.
Tensor random_integers(const Shape& shape, int low, int high, uint64_t seed, DType dtype = DType::float32);

// The module's state in storage of its own, which training leaves alone.
StateDict copy_of(const Module& m);

// The message of the sigma::Error that `fn` throws; fails the test when it throws none.
std::string error_of(const std::function<void()>& fn);

// The contract of every layer: float64 gradients with a random cotangent, two backward passes add up, state
// round trip into a fresh module gives the same outputs, eval leaves buffers alone, thread counts agree bit
// for bit, outputs do not alias inputs.
void check_module(const std::function<ModulePtr()>& make, const Shape& input, bool training = true);

}  // namespace sigma::test
