// Each parser, given files that are almost right. How many: $SIGMA_MUTATIONS a parser, 500 by default.
#include "tests/fuzz/mutation.h"

#include <sys/resource.h>

#include <chrono>
#include <cstdlib>

#include "core/safetensors.h"
#include "tests/support/support.h"

using namespace sigma;

namespace {

uint64_t mutations() {
  const char* text = std::getenv("SIGMA_MUTATIONS");
  return text ? std::strtoull(text, nullptr, 10) : 500;
}

int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
}

}  // namespace

TEST_CASE("every parser takes its own samples") {
  for (const fuzz::Target* target : fuzz::all_targets())
    for (const std::string& seed : target->seeds()) {
      INFO(target->name);
      try {
        target->parse(Bytes(seed.begin(), seed.end()));
      } catch (const Error& e) {
        // A checkpoint without weights, an IDX file of one dimension where three are read: those are samples
        // too.
        CHECK(e.kind() != ErrorKind::internal);
      }
    }
}

TEST_CASE("mutated files are refused or read, by every parser, in little time and memory") {
  for (const fuzz::Target* target : fuzz::all_targets()) {
    INFO(target->name);
    for (uint64_t number = 0; number < mutations(); ++number) {
      INFO("mutation " << number);
      const Bytes file = fuzz::mutated(*target, number);
      const double before = processor_seconds();
      try {
        const std::string message = fuzz::attack(*target, file);
        if (message.find("exception") != std::string::npos) FAIL("not in our own words: " << message);
      } catch (const std::exception& e) { FAIL(e.what()); }
      if (processor_seconds() - before > 20) FAIL("it took more than 20 seconds");
    }
    CHECK(peak_bytes() < int64_t{1} << 30);
  }
}

// Nested 40,000 deep they were parsed, and then overflowed the stack.
TEST_CASE("a checkpoint's metadata nested 40,000 deep are refused") {
  SafeTensors deep;
  deep.metadata["sigma"] = std::string(40000, '[') + std::string(40000, ']');
  const std::string file = serialize_safetensors(deep);
  const std::string message = fuzz::attack(fuzz::checkpoint, Bytes(file.begin(), file.end()));
  INFO(message);
  CHECK(message.find("nested more than 64 levels deep") != std::string::npos);
}
