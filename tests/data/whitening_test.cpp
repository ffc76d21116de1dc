// Whitening: the constants, their effect on a whole training set, and their way through checkpoints.
#include <algorithm>
#include <csignal>
#include <set>

#include "core/math.h"
#include "core/parallel.h"
#include "data/formats/image.h"
#include "data/loader.h"
#include "data/transforms/transforms.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

Split split_of(const std::vector<uint8_t>& pixels, const Shape& shape) {
  Split s;
  s.images = Tensor::empty(shape, DType::uint8, Layout::channels_last);
  std::copy(pixels.begin(), pixels.end(), s.images.mutable_data<uint8_t>());
  s.labels = Tensor::zeros({shape[0]}, DType::int64);
  return s;
}

// Rows of whitened images as float64 (N, d), in the order of the storage.
Tensor rows_of(const Split& split, const Normalization& n) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < split.size(); ++i) all.push_back(i);
  Tensor x = normalized_images(split, all, n);
  int64_t d = x.numel() / x.dim(0);
  Tensor rows = Tensor::empty({x.dim(0), d});
  std::copy_n(x.data<float>(), x.numel(), rows.mutable_data<float>());
  return rows.to(DType::float64);
}

Tensor covariance(const Tensor& rows) {
  Tensor centred = sub(rows, mean(rows, {0}, true));
  return scale(matmul(transpose(centred, 0, 1), centred), 1 / static_cast<double>(rows.dim(0)));
}

// pca: the identity on the kept directions and 0 elsewhere. zca: a projection on as many directions.
void check_whitened(const Dataset& d, double tolerance) {
  for (const char* kind : {"pca", "zca"}) {
    Normalization n = make_normalization(kind, d);
    REQUIRE(n.whitening);
    Tensor rows = rows_of(d.train, n), c = covariance(rows);
    CHECK(max_abs_difference(mean(rows, {0}), Tensor::zeros({rows.dim(1)}, DType::float64)) <= tolerance);
    int64_t size = c.dim(0), kept = n.whitening->kept;
    INFO(d.name << " " << kind << ": " << kept << " of " << size);
    Tensor want = Tensor::zeros(c.shape(), DType::float64);
    double trace = 0;
    for (int64_t i = 0; i < size; ++i) {
      trace += c.data<double>()[i * size + i];
      if (i < kept) want.mutable_data<double>()[i * size + i] = 1;
    }
    if (kind == std::string("zca") && kept < size) want = matmul(c, c);
    CHECK(max_abs_difference(c, want) <= tolerance);
    CHECK(std::abs(trace - static_cast<double>(kept)) <= tolerance * static_cast<double>(kept));
  }
}

}  // namespace

TEST_CASE("two correlated pixels are whitened by the matrix worked out by hand", "[data]") {
  // In units of 51/255 = 0.2: pixels (0,0) (4,4) (1,3) (3,1). Variances .1 along (1,1)/sqrt2 * 2, i.e.
  // covariance [[.1, .06], [.06, .1]], eigenvalues .16 and .04, C^-1/2 = [[3.75, -1.25], [-1.25, 3.75]].
  Dataset d;
  d.train = split_of({0, 0, 204, 204, 51, 153, 153, 51}, {4, 1, 1, 2});
  Normalization n = make_normalization("zca", d);
  CHECK(n.whitening->kept == 2);
  CHECK(n.whitening->largest == Approx(.16));
  CHECK(n.whitening->smallest == Approx(.04));
  const float* m = n.whitening->matrix.data<float>();
  CHECK(m[0] == Approx(3.75));
  CHECK(m[1] == Approx(-1.25));
  CHECK(m[2] == Approx(-1.25));
  CHECK(m[3] == Approx(3.75));
  Tensor x = normalized_images(d.train, {0, 2}, n);  // (-.4, -.4) and (-.2, .2) from the mean
  CHECK(x.data<float>()[0] == Approx(-1).epsilon(1e-6));
  CHECK(x.data<float>()[1] == Approx(-1).epsilon(1e-6));
  CHECK(x.data<float>()[2] == Approx(-1).epsilon(1e-6));
  CHECK(x.data<float>()[3] == Approx(1).epsilon(1e-6));
  // 1 / sqrt(v + epsilon): .2 and .08 under the roots.
  Normalization soft = make_normalization("zca", d, .04);
  double a = 1 / std::sqrt(.2), b = 1 / std::sqrt(.08);
  CHECK(soft.whitening->matrix.data<float>()[0] == Approx((a + b) / 2));
  CHECK(soft.whitening->matrix.data<float>()[1] == Approx((a - b) / 2));
  Normalization pca = make_normalization("pca", d);
  Tensor y = normalized_images(d.train, {0, 2}, pca);
  CHECK(std::abs(y.data<float>()[0]) == Approx(std::sqrt(2)).epsilon(1e-6));
  CHECK(std::abs(y.data<float>()[1]) < 1e-6);
  CHECK(std::abs(y.data<float>()[2]) < 1e-6);
  CHECK(std::abs(y.data<float>()[3]) == Approx(std::sqrt(2)).epsilon(1e-6));
}

TEST_CASE("the covariance of whitened training images is the identity", "[data]") {
  check_whitened(load_dataset("synth-digits", {"", 3000, 1}), 1e-3);
  fs::path base = real_data("mnist");
  if (base.empty()) return skip("MNIST is not in the data folder");
  check_whitened(load_dataset("mnist", {base.string(), 12000, 1}), 1e-3);
}

TEST_CASE("colour images are whitened with every direction kept, in either layout", "[data]") {
  // Weighted sums over neighbours in every direction and over the channels, which have means and scales of
  // their own; smooth, and yet no direction is below the rounding of pixels.
  constexpr int64_t kImages = 1500, kSide = 8, kPadded = kSide + 2;
  Tensor noise = randn({kImages, kPadded, kPadded, 3}, 11);
  const double* p = noise.data<double>();
  const double offset[] = {90, 128, 150}, gain[] = {8, 12, 16};
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < kImages; ++i)
    for (int64_t y = 0; y < kSide; ++y)
      for (int64_t x = 0; x < kSide; ++x)
        for (int64_t channel = 0; channel < 3; ++channel) {
          double v = 0;
          for (int64_t k = 0; k < 27; ++k) {
            int64_t dy = k / 9, dx = k / 3 % 3, other = k % 3;
            v += (dy == 1 ? 1 : .3) * (dx == 1 ? 1 : .3) * (other == channel ? 1 : .5) *
                 p[((i * kPadded + y + dy) * kPadded + x + dx) * 3 + other];
          }
          v = offset[channel] + gain[channel] * v;
          pixels.push_back(static_cast<uint8_t>(std::clamp(std::lround(v), 0L, 255L)));
        }
  Dataset d;
  d.name = "correlated noise in colour";
  d.train = split_of(pixels, {kImages, 3, kSide, kSide});
  check_whitened(d, 1e-3);
  Whitening zca = make_whitening("zca", d.train.images);
  CHECK(zca.kept == 192);
  CHECK(zca.largest > 100 * zca.smallest);  // there was something to undo
  // Of all matrices that whiten, zca is the symmetric one; pca's is not.
  CHECK(max_abs_difference(zca.matrix, transpose(zca.matrix, 0, 1)) <= 1e-4 * norm2(zca.matrix));
  Tensor pca = make_whitening("pca", d.train.images).matrix;
  CHECK(max_abs_difference(pca, transpose(pca, 0, 1)) > 1);
  Whitening planes = make_whitening("zca", d.train.images.to(Layout::contiguous));
  CHECK(identical(planes.matrix, zca.matrix));
  CHECK(identical(planes.mean, zca.mean));
}

TEST_CASE("pixels that do not vary and directions below the rounding of pixels are dropped", "[data]") {
  Dataset d;
  // The second pixel is constant; the third varies by one step in 1 of 40 images: variance below 1/(12
  // 255^2).
  std::vector<uint8_t> pixels;
  for (int i = 0; i < 40; ++i)
    pixels.insert(pixels.end(), {static_cast<uint8_t>(i * 6), 9, static_cast<uint8_t>(i == 20 ? 8 : 7)});
  d.train = split_of(pixels, {40, 3, 1, 1});
  for (const char* kind : {"zca", "pca"}) {
    Normalization n = make_normalization(kind, d);
    CHECK(n.whitening->kept == 1);
    CHECK(all_finite(normalized_images(d.train, {0, 20, 39}, n)));
  }
  CHECK(contains(describe(make_normalization("zca", d)), "zca: 1 of 3 directions"));
}

TEST_CASE("whitening refuses images that do not vary or are too large, and a bad epsilon", "[data]") {
  Dataset d;
  d.train = split_of(std::vector<uint8_t>(12, 7), {4, 3, 1, 1});
  CHECK(contains(error_of([&] { make_normalization("zca", d); }), "do not vary"));
  d.train = split_of({1, 2, 3}, {1, 3, 1, 1});  // one image
  CHECK(contains(error_of([&] { make_normalization("pca", d); }), "do not vary"));
  d.train.images = Tensor::zeros({2, 3, 64, 64}, DType::uint8, Layout::channels_last);
  CHECK(contains(error_of([&] { make_normalization("zca", d); }), "12288"));
  CHECK(contains(error_of([&] { make_whitening("zca", d.train.images, -1); }), "epsilon"));
  CHECK(contains(error_of([&] { make_whitening("oca", d.train.images); }), "\"oca\""));
  Whitening w = make_whitening("zca", split_of({0, 0, 9, 8, 1, 5}, {3, 1, 1, 2}).images);
  Tensor other = Tensor::zeros({1, 1, 2, 2}, DType::float32, Layout::channels_last);
  CHECK(contains(error_of([&] { whiten(other, w); }), "expected images of 2 values"));
}

TEST_CASE("whitened batches are the same bits for any number of threads, augmented or not", "[data]") {
  Dataset d = load_dataset("synth-digits", {"", 300, 1});
  const int before = num_threads();
  std::vector<Tensor> seen;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Normalization n = make_normalization("zca", d, 1e-3);
    for (int loaders : {0, 2}) {
      LoaderOptions o{.batch_size = 64, .seed = 3, .normalization = n, .threads = loaders};
      o.augmentation = parse_augmentation("flip+crop");
      Loader loader(d.train, o);
      loader.next();
      seen.push_back(loader.next().images);
    }
  }
  set_num_threads(before);
  for (const Tensor& t : seen) CHECK(identical(t, seen[0]));
  CHECK(norm2(seen[0]) > 1);
}

TEST_CASE("a whitened run is saved, evaluated, predicted from and resumed with its constants", "[cli]") {
  TemporaryFolder folder;
  Arguments common{"train",        "--data", "synth-digits", "--limit-train", "1000",
                   "--limit-test", "60",     "--model",      "mlp",           "--quiet"};
  for (const char* kind : {"zca", "pca"}) {
    Arguments flags = common + Arguments{"--normalize",  kind, "--whiten-epsilon", "0.01",
                                         "--batch-size", "50", "--max-steps",      "60"};
    std::string whole = (folder / (std::string(kind) + "-whole")).string(),
                parts = (folder / (std::string(kind) + "-parts")).string();
    RunResult r = run_sigma(flags + Arguments{"--out", whole});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    Json summary = read_json(whole + "/summary.json");
    std::string checkpoint = whole + "/weights/last.safetensors";
    r = run_sigma({"eval", "--checkpoint", checkpoint, "--limit-test", "60", "--json"});
    REQUIRE(r.exit_code == 0);
    CHECK(last_line_json(r.out)["test_loss"] == summary["test_loss"]);  // exactly
    CHECK(contains(r.out, std::string(kind) + ": "));
    CHECK(contains(r.out, "epsilon 0.01"));

    // Image by image, predict counts up to eval's confusion matrix.
    Json e = last_line_json(r.out);
    Dataset data = load_dataset("synth-digits", {"", 1, 60});
    Arguments command{"predict", "--checkpoint", checkpoint, "--json"};
    for (int64_t i = 0; i < 60; ++i) {
      const uint8_t* p = data.test.images.data<uint8_t>() + i * 784;
      command.push_back((folder / (std::to_string(i) + ".png")).string());
      write_file_atomic(command.back(), png_bytes({28, 28, 1, Bytes(p, p + 784)}));
    }
    r = run_sigma(command);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    Json predictions = last_line_json(r.out).at("predictions");
    REQUIRE(predictions.size() == 60);
    auto confusion = std::vector<std::vector<int>>(10, std::vector<int>(10, 0));
    std::set<size_t> guesses;
    for (size_t i = 0; i < 60; ++i) {
      std::string name = predictions[i]["top"][0]["class"];
      auto guess = static_cast<size_t>(std::find(data.class_names.begin(), data.class_names.end(), name) -
                                       data.class_names.begin());
      REQUIRE(guess < 10);
      guesses.insert(guess);
      ++confusion[static_cast<size_t>(data.test.labels.data<int64_t>()[i])][guess];
    }
    CHECK(Json(confusion) == e["confusion"]);
    CHECK(guesses.size() >= 5);  // they depend on the image

    // The same run, stopped early on the way: dozens of steps are left after the first checkpoint.
    Process process(flags + Arguments{"--save-every", "1", "--out", parts}, folder / "process");
    REQUIRE(process.wait_until([&] { return fs::exists(parts + "/weights/last.safetensors"); }));
    process.signal(SIGTERM);
    REQUIRE(process.wait() == 128 + SIGTERM);
    CHECK_FALSE(fs::exists(parts + "/summary.json"));
    r = run_sigma({"train", "--resume", "--quiet", "--save-every", "0", "--out", parts});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(read_json(parts + "/summary.json")["weights_sha256"] == summary["weights_sha256"]);
  }
  RunResult r = run_sigma(common + Arguments{"--normalize", "zca", "--mean", "0.5"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--mean"));
  r = run_sigma(common + Arguments{"--normalize", "zca", "--whiten-epsilon", "-1"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--whiten-epsilon"));
  r = run_sigma(common + Arguments{"--normalize", "white"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "none, unit, standard, zca, pca"));
}

TEST_CASE("a comparison draws whitened arms beside the others", "[cli]") {
  TemporaryFolder folder;
  std::string out = (folder / "compare").string();
  RunResult r = run_sigma({"compare", "--limit-train", "200", "--limit-test", "40", "--max-steps", "4",
                           "--seeds", "1", "--normalize", "none,unit,standard,zca", "--out", out, "--quiet"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json arms = read_json(out + "/summary.json")["arms"];
  REQUIRE(arms.size() == 8);
  CHECK(arms[3]["normalize"] == "zca");
  CHECK(contains(read_text(out + "/report.html"), "zca"));
}
