#include "core/kernels/blas.h"

#include <cblas.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <initializer_list>
#include <vector>

#include "core/check.h"
#include "core/kernels/simd.h"
#include "core/parallel.h"

extern "C" {
extern void* gotoblas __attribute__((weak));
void gotoblas_dynamic_init() __attribute__((weak));
}

namespace sigma::kernels {
namespace {

// OpenBLAS picks its kernels by CPU model when it is loaded, and takes a CPU it does not know for a Prescott
// of 2004: a fifth of the speed (0.3.21 on Emerald Rapids: 32 GFLOP/s a thread instead of 150). Its choice
// can be made again, once, before the first product, through the entry point that its own loader uses; where
// a build does not export that, the choice stays. OPENBLAS_CORETYPE in the environment is the user's word and
// is left alone.
void choose_core() {
  if (std::getenv("OPENBLAS_CORETYPE") || !gotoblas_dynamic_init || !&gotoblas || !gotoblas) return;
  std::string simd = simd_name(), now = openblas_get_corename();
  auto is = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return now == name; });
  };
  const char* wanted = nullptr;
  if (simd == "AVX3" && !is({"SkylakeX", "Cooperlake", "SapphireRapids", "Zen"})) wanted = "SkylakeX";
  if (simd == "AVX2" && !is({"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"}))
    wanted = "Haswell";
  if (!wanted) return;
  setenv("OPENBLAS_CORETYPE", wanted, 1);
  void* before = gotoblas;
  gotoblas = nullptr;
  gotoblas_dynamic_init();
  if (!gotoblas) gotoblas = before;
  unsetenv("OPENBLAS_CORETYPE");
}

void choose_core_once() {
  static std::once_flag chosen;
  std::call_once(chosen, choose_core);
}

// OpenBLAS takes a buffer for each thread that is in a product, and where the address space is limited
// (ulimit -v) it looks for one for ever. So whether all of them fit is tried before the first product.
void require_address_space() {
  constexpr size_t kBuffer = (size_t{128} << 20) + (size_t{1} << 20);
  struct rlimit limit {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const auto threads = static_cast<size_t>(num_threads());
  void* all = mmap(nullptr, threads * kBuffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED)
    fail(ErrorKind::memory, "blas",
         "expected {} MB of address space for OpenBLAS's buffers, {} threads: the limit is {} MB in all",
         threads * kBuffer >> 20, threads, limit.rlim_cur >> 20);
  munmap(all, threads * kBuffer);
}

// How many scopes live. Above zero the number of threads is set already and a scope only counts; steps from
// and to zero are taken under the mutex.
std::atomic<int> scopes{0};
std::mutex edges;
int threads_of_host = 1;

// Moves the count by `step` unless that would be a step from or to zero.
bool count(int step, int at_least) {
  int now = scopes.load(std::memory_order_acquire);
  while (now >= at_least)
    if (scopes.compare_exchange_weak(now, now + step, std::memory_order_acq_rel)) return true;
  return false;
}

void enter() {
  if (count(1, 1)) return;
  std::lock_guard lock(edges);
  if (scopes.load(std::memory_order_acquire) == 0) {
    threads_of_host = openblas_get_num_threads();
    if (threads_of_host != 1) openblas_set_num_threads(1);
  }
  scopes.fetch_add(1, std::memory_order_acq_rel);
}

void leave() {
  if (count(-1, 2)) return;
  std::lock_guard lock(edges);
  if (scopes.fetch_sub(1, std::memory_order_acq_rel) == 1 && threads_of_host != 1)
    openblas_set_num_threads(threads_of_host);
}

void product(int n, const float* a, const float* b, float* c) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1, a, n, b, n, 0, c, n);
}
void product(int n, const double* a, const double* b, double* c) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1, a, n, b, n, 0, c, n);
}

// A B^T of two matrices of small integers; `bt` is B^T, so that the plain product vectorises.
template <class T>
bool product_is_right() {
  constexpr size_t n = 67;  // no multiple of any block size
  std::vector<T> a(n * n), b(n * n), bt(n * n), got(n * n), want(n * n);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<T>(static_cast<int>(i * 7 % 13) - 6);
    b[i] = static_cast<T>(static_cast<int>(i * 5 % 11) - 5);
    bt[i % n * n + i / n] = b[i];
  }
  product(static_cast<int>(n), a.data(), b.data(), got.data());
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < n; ++k)
      for (size_t j = 0; j < n; ++j) want[i * n + j] += a[i * n + k] * bt[k * n + j];
  return got == want;
}

}  // namespace

void BlasCheck::expect(bool (*test)()) {
  passed_.run([&] {
    if (!test())
      fail(ErrorKind::internal, "blas",
           "expected exact products of small integers, got others: OpenBLAS is broken on this CPU ({}); "
           "another release of it, or OPENBLAS_CORETYPE in the environment, may help",
           openblas_get_corename());
  });
}

BlasScope::BlasScope() {
  static BlasCheck check;
  static OncePassed fits;
  fits.run(require_address_space);
  choose_core_once();
  enter();
  try {
    check.expect([] { return product_is_right<float>() && product_is_right<double>(); });
  } catch (...) {
    leave();
    throw;
  }
}
BlasScope::~BlasScope() { leave(); }

std::string blas_core() {
  choose_core_once();
  return openblas_get_corename();
}
std::string blas_version() { return openblas_get_config(); }

bool blas_self_test() {
  require_address_space();
  choose_core_once();
  enter();
  const bool right = product_is_right<float>() && product_is_right<double>();
  leave();
  return right;
}

}  // namespace sigma::kernels
