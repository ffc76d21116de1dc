// The memory below tensors: versions that autograd relies on, and the pool.
#include "core/storage.h"

#include <thread>

#include "core/allocation.h"
#include "core/math.h"
#include "tests/support/support.h"

using namespace sigma;

TEST_CASE("every write counts as a new version and no read does", "[tensor]") {
  Tensor t = Tensor::zeros({4}), alias = t.reshape({2, 2});
  uint64_t version = t.version();
  (void)t.data<float>();
  (void)t.raw();
  (void)t.to_vector();
  CHECK(t.version() == version);
  alias.mutable_data<float>()[0] = 1;
  CHECK(t.version() > version);
  for (auto write :
       {std::function<void()>([&] { t.fill_(2); }), std::function<void()>([&] { t.mutable_raw(); }),
        std::function<void()>([&] { t.copy_(Tensor::ones({4})); }),
        std::function<void()>([&] { add_(t, Tensor::ones({4})); })}) {
    version = t.version();
    write();
    CHECK(t.version() > version);
  }
  CHECK(t.clone().version() != t.version());
  CHECK(alias.at({1, 1}) == 2);
  CHECK_THROWS_AS(add_(t, Tensor::ones({2})), Error);
}

TEST_CASE("freed memory is reused, aligned and accounted for", "[tensor]") {
  release_pool();
  size_t before = pool_stats().in_use;
  const std::byte* address;
  {
    Tensor t = Tensor::empty({100000});
    address = t.raw();
    CHECK(reinterpret_cast<uintptr_t>(address) % 64 == 0);
    CHECK(pool_stats().in_use >= before + 400000);
    CHECK(pool_stats().in_use <= before + 450000);  // size classes waste an eighth at most
  }
  CHECK(pool_stats().in_use == before);
  if (!kSanitized) {  // there the pool is off, so that use after free stays visible
    CHECK(pool_stats().cached >= 400000);
    CHECK(Tensor::empty({100000}).raw() == address);
  }
  release_pool();
  CHECK(pool_stats().cached == 0);
  reset_pool_peak();
  { Tensor t = Tensor::empty({1 << 20}, DType::uint8); }
  CHECK(pool_stats().peak >= before + (1 << 20));
  CHECK(pool_stats().in_use == before);
}

TEST_CASE("large blocks start at a page of 2 MiB and hold what is written to their ends", "[tensor]") {
  constexpr size_t kHuge = 2 << 20;
  for (size_t bytes : {kHuge, 2 * kHuge - 1, 2 * kHuge, 2 * kHuge + 1, 3 * kHuge - 64, 5 * kHuge + 12345}) {
    INFO(bytes);
    for (int again = 0; again < 2; ++again) {  // fresh, and from the pool
      Tensor t = Tensor::empty({static_cast<int64_t>(bytes)}, DType::uint8);
      const auto address = reinterpret_cast<uintptr_t>(t.raw());
      CHECK(address % 64 == 0);
      if (bytes >= 2 * kHuge) CHECK(address % kHuge == 0);
      auto* p = t.mutable_data<uint8_t>();
      for (size_t i = 0; i < bytes; i += 4096) p[i] = static_cast<uint8_t>(i / 4096 * 7);
      p[bytes - 1] = 99;
      size_t wrong = 0;
      for (size_t i = 0; i + 1 < bytes; i += 4096) wrong += p[i] != static_cast<uint8_t>(i / 4096 * 7);
      CHECK(wrong == 0);
      CHECK(p[bytes - 1] == 99);
    }
  }
  release_pool();
}

TEST_CASE("a scope counts and limits what its thread allocates", "[storage]") {
  AllocationScope outer;
  {
    AllocationScope inner(900);
    Tensor a = Tensor::empty({100});
    CHECK(inner.total() == 400);
    {
      Tensor b = Tensor::empty({100});
      CHECK(inner.in_use() == 800);
    }
    CHECK(inner.in_use() == 400);
    CHECK(inner.total() == 800);
    std::thread([] { Tensor::empty({1000}); }).join();  // another thread's
    CHECK(inner.total() == 800);
    CHECK_THROWS_AS(Tensor::empty({126}), Error);
    CHECK_THROWS_AS(Tensor::empty({int64_t{1} << 40}), Error);
    CHECK(inner.total() == 800);
    CHECK_NOTHROW(Tensor::empty({50}));
  }
  CHECK(outer.total() == 1000);
  CHECK(outer.in_use() == 0);
}
