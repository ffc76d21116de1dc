// OpenBLAS as a guest: its settings are the host program's, and a broken one is found before the first
// product.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <thread>

#include "core/kernels/blas.h"
#include "core/kernels/gemm.h"
#include "core/linalg.h"
#include "core/math.h"
#include "core/parallel.h"
#include "tests/support/support.h"

extern "C" {
int openblas_get_num_threads(void);
void openblas_set_num_threads(int);
}

using namespace sigma;

namespace {

struct KeepHost {
  int before = openblas_get_num_threads();
  ~KeepHost() { openblas_set_num_threads(before); }
};

}  // namespace

// Run by the next test in a process of its own, so that what loading the library does can be seen.
TEST_CASE("what a host finds before it calls anything", "[.loaded]") {
  std::printf("threads=%d\n", openblas_get_num_threads());
}

// A static initialiser set OpenBLAS to one thread: a program that used OpenBLAS itself became slow by
// linking.
TEST_CASE("linking the library leaves OpenBLAS's number of threads alone", "[blas]") {
  std::array<char, 4096> name{};
  REQUIRE(readlink("/proc/self/exe", name.data(), name.size() - 1) > 0);
  for (int threads : {1, 2, 3}) {
    std::string command = fmt::format("OPENBLAS_NUM_THREADS={} '{}' '[.loaded]'", threads, name.data()), out;
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    for (int ch; (ch = std::fgetc(pipe)) != EOF;) out += static_cast<char>(ch);
    CHECK(pclose(pipe) == 0);
    const int wanted = std::min(threads, available_processors());  // OpenBLAS has no more than processors
    CHECK(out.find(fmt::format("threads={}\n", wanted)) != std::string::npos);
  }
}

TEST_CASE("products and decompositions give the host's number of threads back", "[blas]") {
  const KeepHost keep;
  for (int threads : {1, 2, 3}) {
    openblas_set_num_threads(threads);
    Tensor a = test::randn({150, 150}, 1);
    matmul(a, a);
    CHECK(openblas_get_num_threads() == threads);
    svd(a, {.driver = SvdDriver::gesdd});
    CHECK(openblas_get_num_threads() == threads);
  }
}

TEST_CASE("scopes that overlap on many threads restore once, at the end", "[blas]") {
  const KeepHost keep;
  openblas_set_num_threads(2);
  {
    const kernels::BlasScope outer;
    CHECK(openblas_get_num_threads() == 1);
    { const kernels::BlasScope inner; }
    CHECK(openblas_get_num_threads() == 1);
  }
  CHECK(openblas_get_num_threads() == 2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 20000; ++k) {
        const kernels::BlasScope here;
        wrong += openblas_get_num_threads() != 1;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(openblas_get_num_threads() == 2);
}

TEST_CASE("the self-test passes here, once a process", "[blas]") {
  CHECK(kernels::blas_self_test());
  static int runs = 0;
  kernels::BlasCheck check;
  for (int i = 0; i < 3; ++i) check.expect([] { return ++runs > 0; });
  CHECK(runs == 1);
}

TEST_CASE("a BLAS that multiplies wrongly is an internal error at every product", "[blas]") {
  kernels::BlasCheck check;
  for (int i = 0; i < 2; ++i) {
    try {
      check.expect([] { return false; });
      FAIL("no error");
    } catch (const Error& e) {
      CHECK(e.kind() == ErrorKind::internal);
      CHECK(std::string(e.what()).find("OpenBLAS is broken on this CPU") != std::string::npos);
    }
  }
}
