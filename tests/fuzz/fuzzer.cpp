// The libFuzzer program of one target. `FUZZER seeds FOLDER` writes the samples to start from; `FUZZER
// mutations N` parses the first N mutations (mutation.h), which are the same on every machine.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/parallel.h"
#include "tests/fuzz/mutation.h"
#include "tests/fuzz/target.h"

using namespace sigma;

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  set_num_threads(1);
  if (*count == 3 && std::strcmp((*arguments)[1], "seeds") == 0) {
    const std::filesystem::path folder = (*arguments)[2];
    std::filesystem::create_directories(folder);
    int number = 0;
    for (const std::string& seed : fuzz::SIGMA_FUZZ_TARGET.seeds())
      std::ofstream(folder / ("seed" + std::to_string(number++)), std::ios::binary) << seed;
    std::exit(0);
  }
  if (*count == 3 && std::strcmp((*arguments)[1], "mutations") == 0) {
    const uint64_t number = std::strtoull((*arguments)[2], nullptr, 10);
    uint64_t refused = 0;
    for (uint64_t i = 0; i < number; ++i)
      refused += !fuzz::attack(fuzz::SIGMA_FUZZ_TARGET, fuzz::mutated(fuzz::SIGMA_FUZZ_TARGET, i)).empty();
    std::printf("%-14s %" PRIu64 " mutations, %" PRIu64 " refused\n", fuzz::SIGMA_FUZZ_TARGET.name, number,
                refused);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::attack(fuzz::SIGMA_FUZZ_TARGET, Bytes(data, data + size));
  return 0;
}
