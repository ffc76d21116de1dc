// Folders of images that are wrong in their layout or in a file.
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const std::string kSignature = "\x89PNG\r\n\x1a\n";

std::vector<std::string> train_on_pets() {
  return {"train", "--quiet",      "--threads",   "1", "--model", "mlp",
          "--out", "{folder}/out", "--max-steps", "2", "--data",  "folder:data/pets"};
}

// Good folders, changed by `change`, which is given data/pets.
BadInput pets(const std::string& name, const std::function<void(const fs::path&)>& change, int exit_code,
              const std::string& message) {
  auto prepare = [=](const fs::path& folder) {
    put_image_folder(folder / "data/pets");
    change(folder / "data/pets");
  };
  return {name, prepare, train_on_pets(), exit_code, ".*/data/pets/" + message};
}

// Good folders in which train/dog/b.png is `bytes`.
BadInput image(const std::string& name, const std::string& bytes, const std::string& message) {
  return pets(
      name, [=](const fs::path& p) { put(p / "train/dog/b.png", bytes); }, 3,
      "train/dog/b\\.png: " + message);
}

// An image that has another size than the first, and no size for all is given.
BadInput other_size(const std::string& name, const std::function<void(const fs::path&)>& change,
                    const std::string& image) {
  BadInput c = pets(name, change, 2, "");
  c.message = "--image-size: .*/data/pets/" + image +
              " pixels, train/cat/a\\.png has 12x10; give the size for all to have";
  return c;
}

std::string good_png() { return png(12, 10, 2, some_pixels(360)); }
std::string good_jpeg() { return jpeg(12, 10, 3, some_pixels(360)); }

// A PNG whose header chunk says what it likes, with a right checksum.
std::string png_with_header(uint32_t width, uint32_t height, uint8_t depth, uint8_t color_type) {
  std::string header = big_endian(width) + big_endian(height) + static_cast<char>(depth) +
                       static_cast<char>(color_type) + std::string(3, '\0');
  return kSignature + png_chunk("IHDR", header) + good_png().substr(33);
}

}  // namespace

TEST_CASE("an image folder of the wrong layout is refused", "[bad_input]") {
  auto text = [](const char* path) { return [=](const fs::path& p) { put(p / path, "not an image"); }; };
  auto remove = [](const char* path) { return [=](const fs::path& p) { fs::remove_all(p / path); }; };
  std::string part = ": expected a folder with one folder of images a class";
  check_all_refused({
      {"no folder at all", {}, train_on_pets(), 4, ".*/data/pets/train" + part},
      pets("no train", remove("train"), 4, "train" + part),
      {"no test",
       [](const fs::path& folder) {
         put_image_folder(folder / "data/pets");
         fs::remove_all(folder / "data/pets/test");
       },
       train_on_pets(), 2,
       "--val: .*/data/pets has no test folder, so there is nothing to measure on: set a part of the "
       "training "
       "images apart, such as 0\\.1"},
      pets(
          "train is a file", [&](auto& p) { fs::remove_all(p / "train"), text("train")(p); }, 4,
          "train" + part),
      pets(
          "train is empty", [](auto& p) { fs::remove_all(p / "train"), fs::create_directories(p / "train"); },
          3, "train: expected at least one class folder, found none"),
      pets(
          "test is empty", [](auto& p) { fs::remove_all(p / "test"), fs::create_directories(p / "test"); }, 3,
          "test: expected at least one class folder, found none"),
      pets("one class only", remove("train/dog"), 3, "train: expected at least 2 class folders, found 1"),
      pets(
          "an empty class", [](auto& p) { fs::create_directories(p / "train/bird"); }, 3,
          "train/bird: the class folder holds no PNG or JPEG image"),
      pets("a class of texts", text("train/bird/readme.txt"), 3,
           "train/bird: the class folder holds no PNG or JPEG image"),
      pets("an empty test class", remove("test/dog/a.png"), 3,
           "test/dog: the class folder holds no PNG or JPEG image"),
      pets(
          "a class in test alone",
          [](auto& p) { put(p / "test/bird/a.png", png(12, 10, 2, some_pixels(360))); }, 3,
          "test/bird: class \"bird\" is not among the training classes"),
      pets(
          "an image that is no file", [](auto& p) { fs::create_symlink("nowhere", p / "train/cat/d.png"); },
          4, "train/cat/d\\.png: .*"),
      other_size(
          "an image of another size",
          [](auto& p) { put(p / "train/dog/c.png", png(6, 10, 2, some_pixels(180))); },
          "train/dog/c\\.png has 6x10"),
      other_size(
          "a test image of another size",
          [](auto& p) { put(p / "test/cat/a.png", png(10, 12, 2, some_pixels(360))); },
          "test/cat/a\\.png has 10x12"),
      other_size(
          "a JPEG of another size",
          [](auto& p) { put(p / "train/cat/d.JPEG", jpeg(8, 8, 3, some_pixels(192))); },
          "train/cat/d\\.JPEG has 8x8"),
  });
}

TEST_CASE("a file that is no image is refused", "[bad_input]") {
  std::string neither = R"(: this is neither a PNG \(89 50 4e 47\) nor a JPEG \(ff d8\) image)";
  check_all_refused({
      image("a text", "hello, world", "at byte 0: 68 65 6c 6c" + neither),
      image("a GIF", "GIF89a\x01", "at byte 0: 47 49 46 38" + neither),
      image("nothing", "", "the file is empty, expected a PNG or JPEG image"),
      image("the PNG signature alone", kSignature, "at byte 8: the PNG is cut off"),
      image("one byte", "\x89", "at byte 0: 89" + neither),
  });
}

TEST_CASE("a damaged PNG is refused", "[bad_input]") {
  std::string good = good_png(), swapped = good, tail = good.substr(good.size() - 12);
  auto size = static_cast<unsigned>(good.size());
  swapped[60] = static_cast<char>(~swapped[60]);
  std::string cut_data = kSignature + good.substr(8, 25) + png_chunk("IDAT", "\x78\x01\x63") + tail;
  std::string bad_data = kSignature + good.substr(8, 25) + png_chunk("IDAT", "no zlib data") + tail;
  auto cut = [&](unsigned bytes) {
    return image("cut to " + std::to_string(bytes) + " bytes", good.substr(0, bytes),
                 "at byte " + std::to_string(bytes) + ": the PNG is cut off");
  };
  check_all_refused({
      cut(9),
      cut(20),
      cut(33),
      cut(size / 2),
      cut(size - 12),
      cut(size - 1),
      image("a changed pixel", swapped,
            R"(at byte \d+: checksum [0-9a-f]{8} of a PNG chunk, expected [0-9a-f]{8})"),
      image("a wrong checksum in the header", good.substr(0, 29) + "oops" + good.substr(33),
            "at byte 29: checksum 6f6f7073 of a PNG chunk, expected [0-9a-f]{8}"),
      image("a chunk of 4 GiB", good.substr(0, 33) + "\xff\xff\xff\xff" + good.substr(37),
            "at byte " + std::to_string(size) + ": the PNG is cut off"),
      image("no width", png_with_header(0, 10, 8, 2), R"(at byte 16: 0 pixels wide, expected 1\.\.16384)"),
      image("no height", png_with_header(12, 0, 8, 2), R"(at byte 20: 0 pixels high, expected 1\.\.16384)"),
      image("4294967295 columns", png_with_header(4294967295u, 10, 8, 2),
            R"(at byte 16: 4294967295 pixels wide, expected 1\.\.16384)"),
      image("20000 rows", png_with_header(12, 20000, 8, 2),
            R"(at byte 20: 20000 pixels high, expected 1\.\.16384)"),
      image("268 million pixels", png_with_header(16384, 16384, 8, 2),
            R"(16384x16384 pixels are more than fit in 268435456 bytes)"),
      image("more rows than there is data for", png_with_header(12, 11, 8, 2),
            "370 bytes of pixels, expected 407 for 12x11"),
      image("3 bits a pixel", png_with_header(12, 10, 3, 2),
            "at byte 24: bit depth 3, expected 1, 2, 4, 8 or 16"),
      image("color type 5", png_with_header(12, 10, 8, 5),
            "at byte 25: color type 5, expected 0, 2, 3, 4 or 6"),
      image("palette without colours", png_with_header(12, 10, 8, 3),
            "at byte 33: a PNG with a palette but no PLTE chunk before its data"),
      image("grey of 16 bits a pixel, of other data", png_with_header(12, 10, 16, 0),
            R"(row 1: filter \d+, expected 0\.\.4)"),
      image("no header", kSignature + good.substr(33), "at byte 8: expected an IHDR chunk of 13 bytes first"),
      image("no data", good.substr(0, 33) + tail, R"(the PNG has no data \(IDAT\))"),
      image("compressed data that ends early", cut_data,
            "the compressed data of the PNG end early: 0 of 370 bytes of pixels"),
      image("compressed data that is none", bad_data,
            R"(damaged compressed data of the PNG \(incorrect header check\))"),
  });
}

TEST_CASE("a damaged JPEG is refused", "[bad_input]") {
  std::string good = good_jpeg(), cut = "at byte ", off = ": the JPEG is cut off: no end-of-image marker";
  auto half = good.size() / 2;
  check_all_refused({
      image("cut in the middle", good.substr(0, half), cut + std::to_string(half) + off),
      image("without its last byte", good.substr(0, good.size() - 1),
            cut + std::to_string(good.size() - 1) + off),
      image("its first marker alone", good.substr(0, 5), cut + "5" + off),
      image("markers without an image", "\xff\xd8\xff\xe0\xff\xd9", cut + "6" + off),
      image("tables alone", good.substr(0, 100) + "\xff\xd9", cut + "102" + off),
  });
}
