// Malformed IDX, gzip and CIFAR files: each is refused in one sentence with the file, the byte, what was
// expected and what was found, and nothing is written.
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

using Damage = std::function<std::string(std::string)>;

const char* const kImages = "train-images-idx3-ubyte";
const char* const kLabels = "train-labels-idx1-ubyte";
const char* const kTestImages = "t10k-images-idx3-ubyte";
const char* const kTestLabels = "t10k-labels-idx1-ubyte";

std::vector<std::string> train_on(const std::string& data) {
  return {"train", "--quiet",      "--threads",   "1", "--model", "mlp",
          "--out", "{folder}/out", "--max-steps", "2", "--data",  data};
}

// A good MNIST-like set in which one file is replaced by what `damage` makes of it.
BadInput mnist(const std::string& name, const std::string& file, const Damage& damage,
               const std::string& message) {
  auto prepare = [=](const fs::path& folder) {
    fs::path path = folder / "data/mnist" / file;
    put_mnist(path.parent_path());
    put(path, damage(bytes_of(path)));
  };
  return {name, prepare, train_on("mnist"), 3, file + ": " + message};
}

// The same with a .gz in place of the training images.
BadInput packed(const std::string& name, const Damage& damage, const std::string& message) {
  auto prepare = [=](const fs::path& folder) {
    fs::path path = folder / "data/mnist" / kImages;
    put_mnist(path.parent_path());
    put(path.string() + ".gz", damage(bytes_of(path)));
    fs::remove(path);
  };
  return {name, prepare, train_on("mnist"), 3, std::string(kImages) + "\\.gz: " + message};
}

BadInput cifar10(const std::string& name, const std::string& file, const Damage& damage,
                 const std::string& message) {
  auto prepare = [=](const fs::path& folder) {
    fs::path path = folder / "data/cifar-10-batches-bin" / file;
    put_cifar10(path.parent_path());
    put(path, damage(bytes_of(path)));
  };
  return {name, prepare, train_on("cifar10"), 3, file + ": " + message};
}

BadInput cifar100(const std::string& name, const std::string& file, const Damage& damage,
                  const std::string& message) {
  auto prepare = [=](const fs::path& folder) {
    fs::path data = folder / "data/cifar-100-binary";
    put(data / "train.bin", cifar(3, true));
    put(data / "test.bin", cifar(2, true));
    put(data / file, damage(bytes_of(data / file)));
  };
  return {name, prepare, train_on("cifar100"), 3, file + ": " + message};
}

Damage cut_to(size_t bytes) {
  return [=](std::string s) { return s.substr(0, bytes); };
}
Damage cut_off(size_t bytes) {
  return [=](std::string s) { return s.substr(0, s.size() - bytes); };
}
Damage set(size_t at, uint8_t value) {
  return [=](std::string s) {
    s.at(at) = static_cast<char>(value);
    return s;
  };
}
Damage size_at(size_t at, uint32_t value) {
  return [=](std::string s) { return s.replace(at, 4, big_endian(value)); };
}
Damage append(const std::string& more) {
  return [=](std::string s) { return s + more; };
}
// What `damage` makes of the gzip file.
Damage gz(const Damage& damage) {
  return [=](std::string s) { return damage(gzipped(s)); };
}
Damage from_end(size_t back, const std::string& bytes) {
  return [=](std::string s) { return s.replace(s.size() - back, bytes.size(), bytes); };
}

}  // namespace

TEST_CASE("an IDX file whose length or header is wrong is refused", "[bad_input]") {
  check_all_refused({
      mnist("one byte short", kImages, cut_off(1), "at byte 16: 12543 bytes of data, expected 12544"),
      mnist("one byte long", kImages, append("x"), "at byte 16: 12545 bytes of data, expected 12544"),
      mnist("cut within the sizes", kImages, cut_to(10),
            "at byte 4: the file has 10 bytes, too few for its header of 16"),
      mnist("cut behind the header", kImages, cut_to(16), "at byte 16: 0 bytes of data, expected 12544"),
      mnist("three bytes", kImages, cut_to(3), "at byte 0: the file has 3 bytes, too few for an IDX header"),
      mnist("empty images", kImages, cut_to(0), "at byte 0: the file has 0 bytes, too few for an IDX header"),
      mnist("empty labels", kTestLabels, cut_to(0),
            "at byte 0: the file has 0 bytes, too few for an IDX header"),
      mnist(
          "a PNG instead", kImages, [](auto) { return png(4, 4, 0, some_pixels(16)); },
          "at byte 0: magic 89504e47, expected 00000803"),
      mnist("second byte of the magic", kLabels, set(1, 1), "at byte 0: magic 00010801, expected 00000801"),
      mnist("signed bytes", kImages, set(2, 9),
            R"(at byte 2: element type 0x09, expected 0x08 \(unsigned byte\))"),
      mnist("floats", kTestImages, set(2, 13),
            R"(at byte 2: element type 0x0d, expected 0x08 \(unsigned byte\))"),
      mnist("four dimensions", kImages, set(3, 4), "at byte 3: 4 dimensions, expected 3"),
      mnist("no dimension", kImages, set(3, 0), "at byte 3: 0 dimensions, expected 3"),
      mnist(
          "labels as images", kImages, [](auto) { return idx({16}, some_labels(16)); },
          "at byte 3: 1 dimensions, expected 3"),
      mnist(
          "images as labels", kLabels,
          [](auto) {
            return idx({1, 4, 4}, some_pixels(16));
          },
          "at byte 3: 3 dimensions, expected 1"),
      mnist("no items", kImages, size_at(4, 0),
            R"(at byte 4: the number of items is 0, expected 1\.\.4294967295)"),
      mnist("no rows", kImages, size_at(8, 0), R"(at byte 8: the number of rows is 0, expected 1\.\.16384)"),
      mnist("no columns", kTestImages, size_at(12, 0),
            R"(at byte 12: the number of columns is 0, expected 1\.\.16384)"),
      mnist("4294967295 columns", kImages, size_at(12, 4294967295u),
            R"(at byte 12: the number of columns is 4294967295, expected 1\.\.16384)"),
      mnist("4294967295 items", kImages, size_at(4, 4294967295u),
            "at byte 16: 12544 bytes of data, expected 3367254359280"),
      mnist(
          "sizes whose product is 2^60", kImages,
          [](auto) {
            return idx({4294967295u, 16384, 16384}, some_pixels(100));
          },
          "at byte 16: 100 bytes of data, expected 1152921504338411520"),
      mnist("little-endian sizes", kImages, size_at(8, 28u << 24),
            R"(at byte 8: the number of rows is 469762048, expected 1\.\.16384)"),
  });
}

TEST_CASE("IDX files that do not fit each other are refused", "[bad_input]") {
  check_all_refused({
      mnist("label 10", kLabels, set(8 + 3, 10), R"(at byte 11: label 10, expected 0\.\.9)"),
      mnist("label 255", kTestLabels, set(8, 255), R"(at byte 8: label 255, expected 0\.\.9)"),
      mnist(
          "one label too few", kLabels, [](auto) { return idx({15}, some_labels(15)); },
          "at byte 4: 15 labels, but 16 images"),
      mnist(
          "one test label too many", kTestLabels, [](auto) { return idx({9}, some_labels(9)); },
          "at byte 4: 9 labels, but 8 images"),
      {"test images of another size",
       [](const fs::path& folder) {
         put_mnist(folder / "data/mnist");
         put(folder / "data/mnist" / kTestImages, idx({8, 14, 28}, some_pixels(8 * 14 * 28)));
       },
       train_on("mnist"), 3,
       "mnist/t10k-images-idx3-ubyte: at byte 8: images of 14x28, but the training images have 28x28"},
  });
}

TEST_CASE("IDX files that are missing or no files are refused", "[bad_input]") {
  check_all_refused({
      {"no data folder",
       {},
       train_on("mnist"),
       4,
       ".*/data/mnist/train-images-idx3-ubyte: neither this file nor train-images-idx3-ubyte\\.gz exists; "
       "`sigma data fetch` downloads the public data sets"},
      {"no test labels",
       [](const fs::path& folder) {
         put_mnist(folder / "data/mnist");
         fs::remove(folder / "data/mnist" / kTestLabels);
       },
       train_on("mnist"), 4,
       ".*/data/mnist/t10k-labels-idx1-ubyte: neither this file nor t10k-labels-idx1-ubyte\\.gz exists; .*"},
      {"a folder in place of the images",
       [](const fs::path& folder) { fs::create_directories(folder / "data/mnist" / kImages); },
       train_on("mnist"), 3, ".*/data/mnist/train-images-idx3-ubyte: expected a regular file"},
      {"a folder in place of the packed images",
       [](const fs::path& folder) {
         fs::create_directories(folder / "data/mnist" / (std::string(kImages) + ".gz"));
       },
       train_on("mnist"), 3, ".*/data/mnist/train-images-idx3-ubyte\\.gz: expected a regular file"},
      {"a link to nothing",
       [](const fs::path& folder) {
         fs::create_directories(folder / "data/mnist");
         fs::create_symlink("nowhere", folder / "data/mnist" / kImages);
       },
       train_on("mnist"), 4, ".*/data/mnist/train-images-idx3-ubyte: neither this file nor .* exists; .*"},
  });
}

TEST_CASE("a damaged gzip file is refused", "[bad_input]") {
  auto cut = [](size_t bytes) {
    return packed("cut to " + std::to_string(bytes) + " bytes", gz(cut_to(bytes)),
                  "at byte " + std::to_string(bytes) + ": the gzip data is cut off");
  };
  check_all_refused({
      cut(0),
      cut(1),
      cut(2),
      cut(9),
      cut(10),
      cut(30),
      cut(6000),
      packed("cut within the checksum", gz(cut_off(7)), R"(at byte \d+: the gzip data is cut off)"),
      packed("without its last byte", gz(cut_off(1)), R"(at byte \d+: the gzip data is cut off)"),
      packed("an IDX file called .gz", append(""),
             "at byte 0: 00 00, expected 1f 8b: this is not a gzip file"),
      packed("unknown compression method", gz(set(2, 7)),
             R"(at byte \d+: damaged gzip data \(unknown compression method\))"),
      packed("wrong checksum", gz(from_end(8, "oops")),
             R"(at byte \d+: damaged gzip data \(incorrect data check\))"),
      packed("a changed byte in the middle", gz(set(6000, 0x55)), R"(at byte \d+: damaged gzip data \(.+\))"),
      packed("a trailer that promises 4 GiB", gz(from_end(4, "\xff\xff\xff\xff")),
             R"(at byte \d+: damaged gzip data \(incorrect length check\))"),
      packed("garbage behind it", gz(append("garbage")),
             R"(at byte \d+: 7 bytes follow the end of the gzip data)"),
      packed("a second member", gz(append(gzipped("x"))),
             R"(at byte \d+: \d+ bytes follow the end of the gzip data)"),
  });
}

TEST_CASE("a gzip file whose content is wrong is refused", "[bad_input]") {
  check_all_refused({
      packed(
          "of nothing", [](auto) { return gzipped(""); },
          "at byte 0: the file has 0 bytes, too few for an IDX header"),
      packed(
          "of a header that promises 4 GiB", [](auto s) { return gzipped(size_at(4, 5478276)(s)); },
          "at byte 16: 12544 bytes of data, expected 4294968384"),
      packed(
          "of 64 MiB of zeros", [](auto s) { return gzipped(s + std::string(64 << 20, '\0'), 1); },
          "at byte 16: 67121408 bytes of data, expected 12544"),
      packed(
          "of 64 MiB of zeros alone", [](auto) { return gzipped(std::string(64 << 20, '\0'), 1); },
          R"(at byte 2: element type 0x00, expected 0x08 \(unsigned byte\))"),
      packed(
          "of a gzip file", [](auto s) { return gzipped(gzipped(s)); },
          "at byte 0: magic 1f8b0800, expected 00000803"),
  });
}

TEST_CASE("a malformed CIFAR file is refused", "[bad_input]") {
  std::string ten = R"( bytes, expected a multiple of 3073 \(one image and its label\))",
              hundred = R"( bytes, expected a multiple of 3074 \(one image and its label\))";
  check_all_refused({
      cifar10("one byte short", "data_batch_2.bin", cut_off(1), "6145" + ten),
      cifar10("one byte long", "test_batch.bin", append("x"), "6147" + ten),
      cifar10("empty", "data_batch_5.bin", cut_to(0), "0" + ten),
      cifar10("label 10", "data_batch_3.bin", set(3073, 10), R"(at byte 3073: label 10, expected 0\.\.9)"),
      cifar10("label 255 in the test batch", "test_batch.bin", set(0, 255),
              R"(at byte 0: label 255, expected 0\.\.9)"),
      cifar10(
          "a CIFAR-100 file", "data_batch_1.bin", [](auto) { return cifar(2, true); }, "6148" + ten),
      cifar100(
          "a CIFAR-10 file", "train.bin", [](auto) { return cifar(3); }, "9219" + hundred),
      cifar100("coarse label 20", "train.bin", set(3074, 20),
               R"(at byte 3074: coarse label 20, expected 0\.\.19)"),
      cifar100("fine label 100", "test.bin", set(1, 100), R"(at byte 1: label 100, expected 0\.\.99)"),
      cifar100("cut", "test.bin", cut_to(3000), "3000" + hundred),
      {"no fourth batch",
       [](const fs::path& folder) {
         put_cifar10(folder / "data/cifar-10-batches-bin");
         fs::remove(folder / "data/cifar-10-batches-bin/data_batch_4.bin");
       },
       train_on("cifar10"), 4, R"(.*/cifar-10-batches-bin/data_batch_4\.bin: the file does not exist; .*)"},
      {"a folder in place of a batch",
       [](const fs::path& folder) {
         fs::create_directories(folder / "data/cifar-10-batches-bin/data_batch_1.bin");
       },
       train_on("cifar10"), 3, R"(.*/cifar-10-batches-bin/data_batch_1\.bin: expected a regular file)"},
  });
}
