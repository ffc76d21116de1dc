#include "apps/flags/config.h"
#include "apps/flags/flag.h"
#include "apps/flags/options.h"
#include "tests/fuzz/target.h"

namespace sigma::fuzz {
namespace {

std::vector<std::string> seeds() {
  return {
      R"({"epochs": 3, "lr": 0.1, "batch-norm": "on", "mean": [0.1, "0.2"], "nesterov": true})",
      R"({"seed": 18446744073709551615, "data": "synth-digits", "std": []})",
      R"({"lr": [1e-3, 1], "normalize": "zc\u00e9"})",
      R"({"batch-size": [4, 16], "model": "lenet5; linear classes", "lr-scale": ["fc*=1,fc2=2", "c=0"]})"};
}

void parse(const Bytes& bytes) {
  app::Options options;
  const std::vector<app::Flag> known = app::shared_flags(options);
  for (const auto& [flag, text] : app::read_settings(MemoryFile(bytes).path(), known))
    for (const app::Flag& f : known)
      if (f.name == flag) f.set(text, true);
}

}  // namespace

const Target configuration = {"configuration", seeds, parse};

}  // namespace sigma::fuzz
