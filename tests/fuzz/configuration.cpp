#include "apps/flags/options.h"
#include "tests/fuzz/target.h"

namespace sigma::fuzz {
namespace {

std::vector<std::string> seeds() {
  return {R"({"epochs": 3, "lr": 0.1, "batch-norm": "on", "mean": [0.1, "0.2"], "nesterov": true})",
          R"({"seed": 18446744073709551615, "data": "synth-digits", "std": []})",
          R"({"lr": [1e-3, 1], "normalize": "zc\u00e9"})"};
}

void parse(const Bytes& bytes) {
  const std::vector<std::string> known = {"epochs", "lr",  "batch-norm", "mean",    "nesterov", "seed",
                                          "data",   "std", "normalize",  "augment", "model",    "config"};
  app::config_arguments(MemoryFile(bytes).path(), known);
}

}  // namespace

const Target configuration = {"configuration", seeds, parse};

}  // namespace sigma::fuzz
