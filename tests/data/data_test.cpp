// Readers, generators and normalization: the right pixels and labels, the same on every machine.
#include <cmath>

#include "core/math.h"
#include "core/parallel.h"
#include "data/formats/gzip.h"
#include "data/formats/image.h"
#include "data/transforms/transforms.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// Pixels of image i as they lie in memory: rows of pixels of channels.
std::string pixels_of(const Split& split, int64_t i) {
  auto size = static_cast<size_t>(split.images.numel() / split.images.dim(0));
  const char* p = reinterpret_cast<const char*>(split.images.data<uint8_t>());
  return {p + static_cast<size_t>(i) * size, size};
}
std::vector<int64_t> labels_of(const Split& split) {
  const int64_t* p = split.labels.data<int64_t>();
  return {p, p + split.labels.numel()};
}
std::string pixels_of(const Image& image) { return {image.pixels.begin(), image.pixels.end()}; }
bool identical(const Split& a, const Split& b) {
  return sigma::identical(a.images, b.images) && sigma::identical(a.labels, b.labels);
}

// Restores the number of threads at the end of the scope.
struct KeepThreads {
  int before = num_threads();
  ~KeepThreads() { set_num_threads(before); }
};

}  // namespace

TEST_CASE("IDX files, plain and packed, give their pixels and labels", "[data]") {
  TemporaryFolder folder;
  fs::path mnist = folder / "mnist";
  std::string train = some_pixels(3 * 4 * 5), test = some_pixels(2 * 4 * 5, 9);
  put(mnist / "train-images-idx3-ubyte", idx({3, 4, 5}, train));
  put(mnist / "train-labels-idx1-ubyte.gz", gzipped(idx({3}, {7, 0, 9})));
  put(mnist / "t10k-images-idx3-ubyte.gz", gzipped(idx({2, 4, 5}, test)));
  put(mnist / "t10k-labels-idx1-ubyte", idx({2}, {1, 2}));
  Dataset d = load_dataset("mnist", {folder.path().string()});
  CHECK(d.name == "mnist");
  CHECK(d.train.images.shape() == Shape({3, 1, 4, 5}));
  CHECK(d.test.images.shape() == Shape({2, 1, 4, 5}));
  CHECK(d.train.images.dtype() == DType::uint8);
  CHECK(labels_of(d.train) == std::vector<int64_t>{7, 0, 9});
  CHECK(labels_of(d.test) == std::vector<int64_t>{1, 2});
  for (size_t i = 0; i < 3; ++i)
    CHECK(pixels_of(d.train, static_cast<int64_t>(i)) == train.substr(20 * i, 20));
  for (size_t i = 0; i < 2; ++i) CHECK(pixels_of(d.test, static_cast<int64_t>(i)) == test.substr(20 * i, 20));
  CHECK(d.classes() == 10);
  CHECK(d.class_names[3] == "3");
  CHECK(d.height() == 4);
  CHECK(d.width() == 5);

  // A plain file goes before its packed twin, and a limit keeps the first images.
  put(mnist / "train-labels-idx1-ubyte", idx({3}, {1, 1, 1}));
  Dataset limited = load_dataset("mnist", {folder.path().string(), 2, 1});
  CHECK(labels_of(limited.train) == std::vector<int64_t>{1, 1});
  CHECK(limited.test.size() == 1);
  CHECK(pixels_of(limited.train, 1) == pixels_of(d.train, 1));
  CHECK(fingerprint(limited) != fingerprint(d));
  // The labels changed since: so does the fingerprint, and with the old labels it is the old one again.
  CHECK(fingerprint(load_dataset("mnist", {folder.path().string()})) != fingerprint(d));
  fs::remove(mnist / "train-labels-idx1-ubyte");
  CHECK(fingerprint(load_dataset("mnist", {folder.path().string()})) == fingerprint(d));
}

TEST_CASE("an unpacked file may be much larger than its packed form", "[data]") {
  std::string zeros(10 << 20, '\0');
  std::string packed = gzipped(zeros, 9);
  REQUIRE(packed.size() < zeros.size() / 900);
  CHECK(gunzip(Bytes(packed.begin(), packed.end()), "zeros.gz") == Bytes(zeros.begin(), zeros.end()));
  std::string nothing = gzipped("");
  CHECK(gunzip(Bytes(nothing.begin(), nothing.end()), "nothing.gz").empty());
}

TEST_CASE("CIFAR records give their pixels, labels and class names", "[data]") {
  TemporaryFolder folder;
  fs::path ten = folder / "cifar-10-batches-bin", hundred = folder / "cifar-100-binary";
  put_cifar10(ten);
  auto check_pixels = [](const Split& split, int64_t i, const std::string& planes) {
    std::string expected;
    for (size_t p = 0; p < 1024; ++p)
      for (size_t c = 0; c < 3; ++c) expected += planes[1024 * c + p];
    CHECK(pixels_of(split, i) == expected);
  };
  Dataset d = load_dataset("cifar10", {folder.path().string()});
  CHECK(d.train.images.shape() == Shape({10, 3, 32, 32}));
  CHECK(d.test.images.shape() == Shape({2, 3, 32, 32}));
  CHECK(labels_of(d.train) == std::vector<int64_t>{0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  for (int64_t i = 0; i < 10; ++i) check_pixels(d.train, i, some_pixels(3072, static_cast<uint32_t>(i % 2)));
  CHECK(d.class_names[9] == "9");
  put(ten / "batches.meta.txt", "airplane\nautomobile\r\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  Dataset named = load_dataset("cifar10", {folder.path().string()});
  CHECK(named.class_names[1] == "automobile");
  CHECK(named.class_names[9] == "truck");

  put(hundred / "train.bin", cifar(100, true));
  put(hundred / "test.bin", cifar(3, true));
  Dataset h = load_dataset("cifar100", {folder.path().string()});
  CHECK(h.classes() == 100);
  CHECK(labels_of(h.train)[99] == 99);  // the fine label, the second byte
  CHECK(h.test.size() == 3);
  check_pixels(h.train, 99, some_pixels(3072, 99));
}

TEST_CASE("a folder of images gives the pixels of every kind of PNG", "[data]") {
  std::string grey = some_pixels(6), colour = some_pixels(18, 2), grey_alpha, colour_alpha, pale, pale_colour;
  // What a pixel that covers so much of a white ground looks like, rounded.
  auto on_white = [](char pixel, int cover) {
    return static_cast<char>(
        std::lround((static_cast<uint8_t>(pixel) * cover + 255 * (255 - cover)) / 255.0));
  };
  for (int i = 0; i < 6; ++i) {
    const auto k = static_cast<size_t>(i);
    grey_alpha += {grey[k], static_cast<char>(40 * i)};
    colour_alpha += colour.substr(3 * k, 3) + static_cast<char>(40 * i);
    pale += on_white(grey[k], 40 * i);
    for (char v : colour.substr(3 * k, 3)) pale_colour += on_white(v, 40 * i);
  }
  auto decoded = [](const std::string& file) { return decode_image(Bytes(file.begin(), file.end()), "a"); };
  Image g = decoded(png(3, 2, 0, grey)), c = decoded(png(3, 2, 2, colour));
  CHECK(pixels_of(g) == grey);
  CHECK(pixels_of(c) == colour);
  CHECK(g.channels == 1);
  CHECK(c.channels == 3);
  CHECK(c.height == 2);
  CHECK(c.width == 3);
  CHECK(pixels_of(decoded(png(3, 2, 4, grey_alpha))) == pale);
  CHECK(pixels_of(decoded(png(3, 2, 6, colour_alpha))) == pale_colour);

  TemporaryFolder folder;
  put(folder / "train/b/3.PNG", png(3, 2, 0, grey));
  put(folder / "train/a/2.png", png(3, 2, 6, colour_alpha));
  put(folder / "train/a/10.png", png(3, 2, 4, grey_alpha));
  put(folder / "test/b/x.png", png(3, 2, 2, colour));
  put(folder / "train/a/readme.txt", "no image");  // other files, hidden ones and hidden folders do not count
  put(folder / "train/a/.hidden.png", "no image");
  put(folder / "train/.cache/x.png", "no image");
  Dataset d = load_dataset("folder:" + folder.path().string());
  CHECK(d.class_names == std::vector<std::string>{"a", "b"});
  REQUIRE(d.train.images.shape() == Shape({3, 3, 2, 3}));
  CHECK(labels_of(d.train) == std::vector<int64_t>{0, 0, 1});
  CHECK(labels_of(d.test) == std::vector<int64_t>{1});
  std::string spread, pale_spread;
  for (char v : grey) spread += std::string(3, v);
  for (char v : pale) pale_spread += std::string(3, v);
  CHECK(pixels_of(d.train, 0) == pale_spread);  // 10.png: names in byte order
  CHECK(pixels_of(d.train, 1) == pale_colour);
  CHECK(pixels_of(d.train, 2) == spread);
  CHECK(pixels_of(d.test, 0) == colour);

  // Without a single colour image the set stays grey.
  fs::remove_all(folder / "train/a/2.png");
  put(folder / "test/b/x.png", png(3, 2, 0, grey));
  CHECK(load_dataset("folder:" + folder.path().string()).channels() == 1);
}

TEST_CASE("a JPEG gives its pixels to within its quantization", "[data]") {
  // Smooth, so that the halved resolution of its colours does not count.
  std::string smooth;
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 24; ++j)
      for (int v : {8 * j, 12 * i, 128}) smooth += static_cast<char>(v);
  std::string file = jpeg(24, 16, 3, smooth);
  Image image = decode_image(Bytes(file.begin(), file.end()), "a.jpg");
  REQUIRE(image.width == 24);
  REQUIRE(image.height == 16);
  REQUIRE(image.channels == 3);
  int worst = 0;
  for (size_t i = 0; i < smooth.size(); ++i)
    worst = std::max(worst, std::abs(int{image.pixels[i]} - int{static_cast<uint8_t>(smooth[i])}));
  CHECK(worst <= 6);
  CHECK(pixels_of(to_channels(image, 3)) == pixels_of(image));
  Image grey = to_channels(image, 1);
  for (size_t p = 0; p < grey.pixels.size(); ++p) {
    const uint8_t* rgb = image.pixels.data() + 3 * p;
    double luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];  // ITU-R BT.601
    REQUIRE(std::abs(grey.pixels[p] - luma) <= 0.5 + 1e-9);
  }
}

TEST_CASE("built-in images do not depend on threads or on how many there are", "[data]") {
  KeepThreads keep;
  for (auto make : {make_synth_digits, make_synth_objects}) {
    set_num_threads(1);
    Dataset one = make(200, 70);
    set_num_threads(3);
    Dataset three = make(200, 70), more = make(300, 100);
    CHECK(identical(one.train, three.train));
    CHECK(identical(one.test, three.test));
    for (int64_t i : {0, 63, 64, 199}) CHECK(pixels_of(more.train, i) == pixels_of(one.train, i));
    CHECK(pixels_of(one.train, 0) != pixels_of(one.train, 1));
    CHECK(pixels_of(one.train, 0) != pixels_of(one.test, 0));
    set_num_threads(2);
    Dataset limited = load_dataset(one.name, {"", 200, 70});
    CHECK(identical(limited.train, one.train));
    CHECK(fingerprint(limited) == fingerprint(one));
  }
}

TEST_CASE("built-in classes are balanced, and no two images are the same", "[data]") {
  for (auto make : {make_synth_digits, make_synth_objects}) {
    Dataset d = make(1500, 500);
    CHECK(d.classes() == 10);
    std::vector<double> count(10, 0);
    std::vector<std::string> all;
    for (const Split* s : {&d.train, &d.test})
      for (int64_t i = 0; i < s->size(); ++i) {
        ++count.at(static_cast<size_t>(s->labels.data<int64_t>()[i]));
        all.push_back(pixels_of(*s, i));
      }
    // Five standard deviations of a binomial count of 2000 draws.
    for (double k : count) CHECK(std::abs(k - 200) < 5 * std::sqrt(2000 * .1 * .9));
    std::sort(all.begin(), all.end());
    CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
    // Neither blank nor saturated.
    Normalization n = make_normalization("standard", d);
    for (double mean : n.mean) CHECK((mean > 0.05 && mean < 0.95));
    for (double std : n.std) CHECK((std > 0.05 && std < 0.5));
  }
}

TEST_CASE("the normalization constants of MNIST are the published ones", "[data]") {
  fs::path base = real_data("mnist");
  if (base.empty()) return skip("MNIST is not in the data folder");
  Dataset d = load_dataset("mnist", {base.string()});
  REQUIRE(d.train.size() == 60000);
  REQUIRE(d.test.size() == 10000);
  Normalization n = make_normalization("standard", d);
  CHECK(std::abs(n.mean.at(0) - 0.1307) < 1e-4);
  CHECK(std::abs(n.std.at(0) - 0.3081) < 1e-4);
}

TEST_CASE("normalization is (pixel / 255 - mean) / std of each channel", "[data]") {
  Dataset d;
  d.train.images = Tensor::empty({2, 3, 1, 2}, DType::uint8, Layout::channels_last);
  std::vector<uint8_t> pixels{0, 10, 77, 50, 20, 77, 100, 30, 77, 250, 40, 77};
  std::copy(pixels.begin(), pixels.end(), d.train.images.mutable_data<uint8_t>());
  d.train.labels = Tensor::zeros({2}, DType::int64);
  Normalization n = make_normalization("standard", d);
  REQUIRE(n.mean.size() == 3);
  CHECK(n.mean[0] == Approx(100.0 / 255));
  CHECK(n.mean[1] == Approx(25.0 / 255));
  CHECK(n.std[0] == Approx(std::sqrt((100 * 100 + 50 * 50 + 0 + 150 * 150) / 4.0) / 255));
  CHECK(n.std[1] == Approx(std::sqrt(125.0) / 255));
  CHECK(n.std[2] == 1);  // a constant channel is only centred
  Tensor x = normalized_images(d.train, {1, 0}, n);
  CHECK(x.shape() == Shape({2, 3, 1, 2}));
  for (size_t i = 0; i < 12; ++i) {
    size_t from = (i + 6) % 12, c = i % 3;
    double expected = (pixels[from] / 255.0 - n.mean[c]) / n.std[c];
    CHECK(x.data<float>()[i] == static_cast<float>(expected));
  }
  Tensor none = normalized_images(d.train, {0}, make_normalization("none", d));
  Tensor unit = normalized_images(d.train, {0}, make_normalization("unit", d));
  for (size_t i = 0; i < 6; ++i) {
    CHECK(none.data<float>()[i] == Approx(pixels[i]).epsilon(1e-6));
    CHECK(unit.data<float>()[i] == Approx(pixels[i] / 255.0).epsilon(1e-6));
  }
  CHECK(describe({"standard", {0.1307}, {0.3081}}) == "standard: mean 0.1307, std 0.3081");
  CHECK(error_of([&] { make_normalization("batch", d); }).find("\"batch\"") != std::string::npos);
  CHECK(error_of([&] {
          normalized_images(d.train, {0}, {"unit", {0, 0}, {1}});
        }).find("1 or 3") != std::string::npos);
  CHECK(error_of([&] {
          normalized_images(d.train, {0}, {"unit", {0}, {0}});
        }).find("above 0") != std::string::npos);
}

TEST_CASE("the table of data sets has what names, lists and help texts follow from") {
  CHECK(dataset_usage() ==
        "mnist|fashion-mnist|kmnist|cifar10|cifar100|synth-digits|synth-objects|folder:PATH");
  CHECK(dataset_names().size() + 1 == dataset_table().size());
  for (const DatasetRow& row : dataset_table()) {
    CHECK_FALSE(row.about.empty());
    CHECK((row.takes_path() || row.built_in() || !row.folder.empty()));
  }
}

TEST_CASE("a data set's name can be made one that every working folder understands") {
  CHECK(absolute_data_name("mnist") == "mnist");
  CHECK(absolute_data_name("folder:/a/./b") == "folder:/a/b");
  CHECK(absolute_data_name("folder:pets") == "folder:" + (std::filesystem::current_path() / "pets").string());
  CHECK(absolute_data_name("folders") == "folders");
}
