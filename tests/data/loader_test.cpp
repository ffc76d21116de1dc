// The loader: the same batches for any number of threads and from any step; augmentation to the pixel.
#include "data/loader.h"

#include <set>

#include "core/math.h"
#include "data/formats/image.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

constexpr int64_t kHeight = 6, kWidth = 7, kChannels = 2, kSize = kHeight * kWidth * kChannels;

// Image i carries label i, so that a batch tells its rows.
Split numbered(int64_t count) {
  Split split;
  split.images = Tensor::empty({count, kChannels, kHeight, kWidth}, DType::uint8, Layout::channels_last);
  std::string pixels = some_pixels(static_cast<size_t>(count * kSize));
  std::copy(pixels.begin(), pixels.end(), reinterpret_cast<char*>(split.images.mutable_data<uint8_t>()));
  split.labels = Tensor::empty({count}, DType::int64);
  for (int64_t i = 0; i < count; ++i) split.labels.mutable_data<int64_t>()[i] = i;
  return split;
}

LoaderOptions options(int threads, const std::string& augment = "none") {
  LoaderOptions o;
  o.batch_size = 8;
  o.seed = 3;
  o.threads = threads;
  o.normalization = {"none", {0}, {1.0 / 255}};  // floats are then pixel values
  o.augmentation = parse_augmentation(augment);
  return o;
}

std::vector<int64_t> rows(const Batch& b) {
  const int64_t* p = b.labels.data<int64_t>();
  return {p, p + b.labels.numel()};
}

bool same(const Batch& a, const Batch& b) {
  return a.step == b.step && a.epoch == b.epoch && identical(a.labels, b.labels) &&
         identical(a.images, b.images);
}

std::vector<Batch> take(Loader& loader, int count) {
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) batches.push_back(loader.next());
  return batches;
}

int64_t mirrored(int64_t i, int64_t size) {  // ... 2 1 | 0 1 2 ... n-1 | n-2 n-3 ...
  while (i < 0 || i >= size) i = i < 0 ? -i : 2 * (size - 1) - i;
  return i;
}

// The image shifted by (dy, dx) and flipped, from the definition.
std::vector<float> window(const uint8_t* image, bool flip, int64_t dy, int64_t dx, Padding padding) {
  std::vector<float> out;
  for (int64_t i = 0; i < kHeight; ++i)
    for (int64_t j = 0; j < kWidth; ++j)
      for (int64_t c = 0; c < kChannels; ++c) {
        int64_t y = i + dy, x = (flip ? kWidth - 1 - j : j) + dx;
        bool inside = y >= 0 && y < kHeight && x >= 0 && x < kWidth;
        if (padding == Padding::reflect) y = mirrored(y, kHeight), x = mirrored(x, kWidth), inside = true;
        out.push_back(inside ? image[(y * kWidth + x) * kChannels + c] : 0);
      }
  return out;
}

}  // namespace

TEST_CASE("batches are the same for every number of loader threads", "[data]") {
  Split split = numbered(43);
  for (const char* augment : {"none", "flip+crop"}) {
    Loader reference(split, options(0, augment));
    std::vector<Batch> expected = take(reference, 14);
    for (int threads : {1, 2, 4}) {
      Loader loader(split, options(threads, augment));
      std::vector<Batch> got = take(loader, 14);
      for (size_t i = 0; i < got.size(); ++i) {
        INFO(augment << ", " << threads << " threads, batch " << i);
        CHECK(same(got[i], expected[i]));
      }
    }
  }
}

TEST_CASE("every epoch shows each image once, in an order of its own", "[data]") {
  Split split = numbered(43);
  Loader loader(split, options(2));
  REQUIRE(loader.steps_per_epoch() == 6);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    std::vector<int64_t> order;
    for (int64_t step = 0; step < 6; ++step) {
      Batch b = loader.next();
      CHECK(b.epoch == epoch);
      CHECK(b.step == 6 * epoch + step);
      CHECK(b.labels.numel() == (step < 5 ? 8 : 3));
      CHECK(b.images.shape() == Shape({b.labels.numel(), kChannels, kHeight, kWidth}));
      for (size_t i = 0; i < rows(b).size(); ++i) {
        const uint8_t* image = split.images.data<uint8_t>() + rows(b)[i] * kSize;
        const float* got = b.images.data<float>() + static_cast<int64_t>(i) * kSize;
        for (int64_t k = 0; k < kSize; ++k) REQUIRE(got[k] == Approx(image[k]).epsilon(1e-6).margin(0));
        order.push_back(rows(b)[i]);
      }
    }
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < 43; ++i) CHECK(order[i] == static_cast<int64_t>(i));
  }
  CHECK(orders.size() == 5);
  LoaderOptions other = options(0);
  other.seed = 4;
  CHECK(rows(Loader(split, other).next()) != rows(Loader(split, options(0)).next()));
  other.shuffle = false;
  CHECK(rows(Loader(split, other).next()) == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("a loader that starts at any step goes on with the same batches", "[data]") {
  Split split = numbered(43);
  for (int threads : {0, 2}) {
    Loader whole(split, options(threads, "flip+crop"));
    std::vector<Batch> expected = take(whole, 16);
    for (int64_t first = 0; first < 14; ++first) {
      Loader resumed(split, options(threads, "flip+crop"), first);
      INFO("from step " << first);
      for (const Batch& b : take(resumed, 2)) CHECK(same(b, expected[static_cast<size_t>(b.step)]));
    }
    // Batches out of order are the same, too: nothing depends on what was made before.
    Loader any(split, options(0, "flip+crop"));
    for (int64_t step : {13, 2, 7, 0}) CHECK(same(any.make(step), expected[static_cast<size_t>(step)]));
  }
}

TEST_CASE("a short last batch is kept or left out", "[data]") {
  auto steps = [](int64_t images, int64_t batch, int64_t least) {
    Split split = numbered(images);
    LoaderOptions o = options(0);
    o.batch_size = batch, o.min_last_batch = least;
    Loader loader(split, o);
    std::vector<int64_t> sizes;
    for (int64_t i = 0; i < loader.steps_per_epoch(); ++i) sizes.push_back(loader.next().labels.numel());
    return sizes;
  };
  using Sizes = std::vector<int64_t>;
  CHECK(steps(17, 8, 1) == Sizes{8, 8, 1});
  CHECK(steps(17, 8, 2) == Sizes{8, 8});
  CHECK(steps(18, 8, 2) == Sizes{8, 8, 2});
  CHECK(steps(16, 8, 0) == Sizes{8, 8});
  CHECK(steps(16, 8, 2) == Sizes{8, 8});
  CHECK(steps(5, 8, 2) == Sizes{5});  // a batch larger than the data set is the data set
  CHECK(steps(1, 8, 2) == Sizes{1});
  CHECK(steps(3, 1, 1) == Sizes{1, 1, 1});
  Split none;
  CHECK(error_of([&] { Loader(none, options(0)); }).find("empty") != std::string::npos);
  Split some = numbered(4);
  LoaderOptions o = options(0);
  o.batch_size = 0;
  CHECK(error_of([&] { Loader(some, o); }).find("at least 1, got 0") != std::string::npos);
}

TEST_CASE("a loader that is dropped early, or whose work fails, ends its threads", "[data]") {
  Split split = numbered(43);
  for (int i = 0; i < 20; ++i) {
    Loader loader(split, options(4));
    if (i % 2) loader.next();
  }
  LoaderOptions bad = options(2);
  bad.normalization.std = {0};
  Loader loader(split, bad);
  CHECK(error_of([&] { loader.next(); }).find("above 0") != std::string::npos);
}

namespace {
// The only image of `split` as pixels 0..255, augmented with the i-th random numbers.
std::vector<float> augmented(const Split& split, const Augmentation& a, uint64_t i) {
  Tensor x = normalized_images(split.images, {0}, {"none", {0}, {1.0 / 255}}, a,
                               [i](int64_t) { return Rng(1, "test", i); });
  return {x.data<float>(), x.data<float>() + x.numel()};
}
}  // namespace

TEST_CASE("flips and crops are exact", "[data]") {
  Split split = numbered(1);
  const uint8_t* image = split.images.data<uint8_t>();
  for (const char* kind : {"none", "flip", "crop", "flip+crop"})
    for (Padding padding : {Padding::zero, Padding::reflect})
      for (int64_t pad : {2, 4, 9}) {  // 9 is beyond the image: reflections of reflections
        Augmentation a = parse_augmentation(kind);
        a.pad = pad, a.padding = padding;
        std::set<std::vector<float>> allowed, seen;
        int64_t reach = a.crop ? pad : 0;
        for (bool flip : {false, true})
          for (int64_t dy = -reach; dy <= reach; ++dy)
            for (int64_t dx = -reach; dx <= reach; ++dx)
              if (a.flip || !flip) allowed.insert(window(image, flip, dy, dx, padding));
        for (uint64_t i = 0; i < 300; ++i) {
          std::vector<float> out = augmented(split, a, i);
          for (float& v : out) {
            REQUIRE(std::abs(v - std::round(v)) < 1e-4);
            v = std::round(v);
          }
          REQUIRE(allowed.count(out) == 1);
          seen.insert(out);
        }
        INFO(kind << ", pad " << pad << ": " << seen.size() << " of " << allowed.size());
        CHECK(seen.size() >= std::min<size_t>(allowed.size(), 90) * 3 / 4);
      }
}

TEST_CASE("half of the images are flipped and every shift is as likely", "[data]") {
  Split split = numbered(1);
  const uint8_t* image = split.images.data<uint8_t>();
  Augmentation flip = parse_augmentation("flip");
  std::vector<float> straight = window(image, false, 0, 0, Padding::zero);
  int kept = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    std::vector<float> out = augmented(split, flip, i);
    kept += std::round(out[0]) == straight[0] && std::round(out[5]) == straight[5];
  }
  CHECK(std::abs(kept - 500) < 5 * std::sqrt(1000 * .25));
  Augmentation crop{false, true, 1, Padding::zero};
  std::map<std::vector<float>, int> counts;
  for (uint64_t i = 0; i < 1800; ++i) { ++counts[augmented(split, crop, i)]; }
  CHECK(counts.size() == 9);
  for (auto& [window_seen, count] : counts) CHECK(std::abs(count - 200) < 5 * std::sqrt(1800 / 9.0));
  CHECK(error_of([] { parse_augmentation("twist"); }).find("\"twist\"") != std::string::npos);
}
