// Resizing, turning and colours as Pillow and torchvision have them; what augmentations draw.
#include <set>

#include "core/math.h"
#include "core/safetensors.h"
#include "data/loader.h"
#include "data/transforms/affine.h"
#include "data/transforms/color_jitter.h"
#include "data/transforms/cutout.h"
#include "data/transforms/mixing.h"
#include "data/transforms/resized_crop.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

const SafeTensors& golden() {
  static const SafeTensors file = load_safetensors(SIGMA_SOURCE_DIR "/tests/golden/images.safetensors");
  return file;
}

Image image_of(const std::string& name) {
  const Tensor& t = golden().tensors.at(name);
  Image image{t.dim(0), t.dim(1), t.dim(2), {}};
  image.pixels.assign(t.data<uint8_t>(), t.data<uint8_t>() + t.numel());
  return image;
}

// The largest difference of two pixels; 999 when the sizes differ.
int distance(const Image& a, const Image& b) {
  if (a.height != b.height || a.width != b.width || a.channels != b.channels) return 999;
  int most = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]));
  return most;
}

Image noise(int64_t height, int64_t width, int64_t channels) {
  const std::string pixels = some_pixels(static_cast<size_t>(height * width * channels));
  return {height, width, channels, Bytes(pixels.begin(), pixels.end())};
}

}  // namespace

TEST_CASE("resizing agrees with Pillow: to the bit, but where it begins with the columns", "[data]") {
  int cases = 0, exact = 0;
  for (; golden().tensors.count(fmt::format("resize.{}.x", cases)); ++cases) {
    INFO(cases);
    const Image x = image_of(fmt::format("resize.{}.x", cases)),
                y = image_of(fmt::format("resize.{}.y", cases));
    CHECK(distance(resized(x, y.height, y.width), y) <= 1);
    exact += distance(resized(x, y.height, y.width), y) == 0;
    const Image fit = image_of(fmt::format("fit.{}.y", cases));
    CHECK(distance(fitted(x, fit.height, fit.width), fit) <= 1);
  }
  CHECK(exact == 8);
  CHECK(cases == 10);
}

TEST_CASE("a window is resized as if there were nothing beside it", "[data]") {
  const Image x = noise(20, 30, 3);
  Image cut{7, 11, 3, {}};
  for (int64_t y = 0; y < 7; ++y)
    cut.pixels.insert(cut.pixels.end(), x.pixels.begin() + ((5 + y) * 30 + 4) * 3,
                      x.pixels.begin() + ((5 + y) * 30 + 15) * 3);
  CHECK(distance(resized(x, {5, 4, 7, 11}, 9, 6), resized(cut, 9, 6)) == 0);
  CHECK(error_of([&] { resized(x, {15, 0, 6, 5}, 4, 4); }).find("within 20x30") != std::string::npos);
}

TEST_CASE("an image of one row becomes a square without being made as high first", "[data]") {
  const Image row = noise(1, kMaxSide, 3);
  const Image square = fitted(row, 4096, 4096);  // 67 million pixels wide as a whole
  CHECK(square.pixels.size() == size_t{4096} * 4096 * 3);
  CHECK(parse_image_size("48").width == 48);
  CHECK(parse_image_size("32x48").height == 32);
  for (const char* bad : {"", "0", "x", "48x", "x48", "48x48x3", "-1", "4097", "1e3", "99999999999999999999"})
    CHECK(error_of([&] { parse_image_size(bad); }).find("image-size: expected a size") == 0);
}

TEST_CASE("turning, shearing and colours agree with torchvision", "[data]") {
  const Image x = image_of("x");
  CHECK(distance(rotated(x, 12), image_of("rotate 12")) <= 1);
  CHECK(distance(rotated(x, -90), image_of("rotate -90")) <= 1);
  CHECK(distance(transformed(x, {7.5, 2, -3, 1.1, 8}), image_of("affine")) <= 1);
  CHECK(distance(rotated(x, 0), x) == 0);
  auto changed = [&](auto change, double by) {
    Image y = x;
    change(y, by);
    return y;
  };
  CHECK(distance(changed(adjust_brightness, 1.3), image_of("brightness")) <= 1);
  CHECK(distance(changed(adjust_contrast, 0.7), image_of("contrast")) <= 1);
  CHECK(distance(changed(adjust_saturation, 1.4), image_of("saturation")) <= 1);
  CHECK(distance(changed(adjust_hue, 0.08), image_of("hue")) <= 1);
  CHECK(distance(changed(adjust_hue, -0.1), image_of("hue back")) <= 1);
}

TEST_CASE("windows of random crops lie within the image and have the areas and ratios asked for", "[data]") {
  double least = 1, most = 0;
  for (auto [h, w] : {std::pair<int64_t, int64_t>{40, 60}, {60, 40}, {1, 1}, {3, 500}, {500, 3}})
    for (uint64_t i = 0; i < 300; ++i) {
      const Window v = draw_window(h, w, Rng(1, "test", i));
      REQUIRE(v.height >= 1);
      REQUIRE(v.width >= 1);
      REQUIRE(v.top >= 0);
      REQUIRE(v.left >= 0);
      REQUIRE(v.top + v.height <= h);
      REQUIRE(v.left + v.width <= w);
      if (h != 40) continue;
      const double area = static_cast<double>(v.height * v.width) / 2400;
      least = std::min(least, area), most = std::max(most, area);
      CHECK(static_cast<double>(v.width) / static_cast<double>(v.height) > 0.7);
      CHECK(static_cast<double>(v.width) / static_cast<double>(v.height) < 1.45);
    }
  CHECK(least < 0.15);
  CHECK(most > 0.85);
}

TEST_CASE("cutout blackens one rectangle in half of the images", "[data]") {
  int whole = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    Image x{20, 24, 1, Bytes(480, 200)};
    cutout(x, Rng(1, "test", i));
    int64_t black = 0, top = 20, bottom = -1, left = 24, right = -1;
    for (int64_t p = 0; p < 480; ++p)
      if (x.pixels[static_cast<size_t>(p)] == 0) {
        ++black;
        top = std::min(top, p / 24), bottom = std::max(bottom, p / 24);
        left = std::min(left, p % 24), right = std::max(right, p % 24);
      }
    whole += black == 0;
    if (black == 0) continue;
    CHECK(black == (bottom - top + 1) * (right - left + 1));
    CHECK(black <= 480 * 36 / 100);
  }
  CHECK(std::abs(whole - 200) < 60);
}

TEST_CASE("mixing shows both images by the weights that the loss takes", "[data]") {
  double sum = 0, square = 0;
  Rng rng(3, "test");
  for (int i = 0; i < 4000; ++i) {
    const double b = beta_sample(0.2, rng);
    REQUIRE(b >= 0);
    REQUIRE(b <= 1);
    sum += b, square += b * b;
  }
  CHECK(sum / 4000 == Approx(0.5).margin(0.03));
  // Of Beta(a, a): 1 / (4 (2 a + 1)).
  CHECK(square / 4000 - sum * sum / 16e6 == Approx(1 / 5.6).margin(0.01));
  for (uint64_t i = 0; i < 50; ++i) {
    Tensor x = Tensor::empty({3, 1, 8, 6}, DType::float32, Layout::channels_last), y = Tensor::empty_like(x);
    for (Tensor* t : {&x, &y})
      for (int64_t k = 0; k < t->numel(); ++k) t->mutable_data<float>()[k] = static_cast<float>(k / 48);
    const double w = mixup(x, Rng(1, "test", i)), v = cutmix(y, Rng(2, "test", i));
    const int before[] = {2, 0, 1};
    for (int64_t k = 0; k < 3; ++k) {
      CHECK(x.data<float>()[48 * k] == Approx(w * static_cast<double>(k) + (1 - w) * before[k]).margin(1e-6));
      int64_t own = 0, other = 0;
      for (int64_t p = 0; p < 48; ++p) {
        own += y.data<float>()[48 * k + p] == static_cast<float>(k);
        other += y.data<float>()[48 * k + p] == static_cast<float>(before[k]);
      }
      CHECK(own + other == 48);
      CHECK(static_cast<double>(own) / 48 == Approx(v).margin(1e-12));
    }
  }
}

TEST_CASE("augmentations are named in any order, each once", "[data]") {
  const Augmentation a = parse_augmentation("cutout+crop+rotate+mixup+flip");
  CHECK(a.flip);
  CHECK(a.crop);
  REQUIRE(a.changes.size() == 2);
  CHECK(a.changes[0]->name == "rotate");  // the order of the table
  CHECK(a.mixes.size() == 1);
  for (const char* bad : {"", "flip+", "+flip", "flips", "none+flip", "flip,crop"})
    CHECK(error_of([&] { parse_augmentation(bad); }).find("augment: unknown kind") == 0);
  CHECK(error_of([] { parse_augmentation("flip+flip"); }).find("flip is there twice") != std::string::npos);
}
