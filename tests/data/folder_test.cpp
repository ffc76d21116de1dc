// Folders of images of one's own: layouts, sizes, orientation, transparency, what is skipped, what stays on
// the disk; the validation part; the balanced sampler.
#include <map>
#include <set>

#include "core/allocation.h"
#include "core/math.h"
#include "core/safetensors.h"
#include "data/formats/exif.h"
#include "data/formats/folder_check.h"
#include "data/formats/image_folder.h"
#include "data/loader.h"
#include "data/transforms/resize.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

Bytes bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::string grey(uint32_t width, uint32_t height, uint32_t seed) {
  return png(width, height, 0, some_pixels(size_t{width} * height, seed));
}

// Images of all sizes in path/<class>, some below folders of a class.
void put_sizes(const fs::path& path, int each = 6) {
  for (const char* name : {"ant", "bee"})
    for (int i = 0; i < each; ++i) {
      const auto k = static_cast<uint32_t>(i);
      const fs::path folder = path / name / (i % 3 == 2 ? "deep/er" : "");
      put(folder / fmt::format("{}.png", i), grey(9 + k % 7, 14 - k % 5, k + (name[0] == 'a' ? 0u : 100u)));
    }
}

DatasetOptions sized(int64_t side, double validation = 0) {
  DatasetOptions o;
  o.height = o.width = side;
  o.validation = validation;
  return o;
}

Dataset numbered(const std::vector<int64_t>& counts) {
  Dataset d;
  int64_t n = 0;
  for (size_t c = 0; c < counts.size(); ++c) {
    d.class_names.push_back(fmt::format("c{}", c));
    n += counts[c];
  }
  d.train.images = Tensor::zeros({n, 1, 1, 1}, DType::uint8, Layout::channels_last);
  d.train.labels = Tensor::empty({n}, DType::int64);
  int64_t* label = d.train.labels.mutable_data<int64_t>();
  for (size_t c = 0; c < counts.size(); ++c) label = std::fill_n(label, counts[c], static_cast<int64_t>(c));
  for (int64_t i = 0; i < n; ++i) d.train.images.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(i);
  return d;
}

std::map<int64_t, int64_t> label_counts(const Split& s) {
  std::map<int64_t, int64_t> counts;
  for (int64_t i = 0; i < s.size(); ++i) ++counts[s.labels.data<int64_t>()[i]];
  return counts;
}

}  // namespace

TEST_CASE("images of any size are brought to one, from class folders and those within", "[data]") {
  TemporaryFolder folder;
  put_sizes(folder.path());
  DatasetOptions all = sized(8);
  all.without_test = WithoutTest::measure;
  const Dataset d = load_image_folder(folder.path().string(), all);
  CHECK(d.class_names == std::vector<std::string>{"ant", "bee"});
  CHECK(d.train.images.shape() == Shape({12, 1, 8, 8}));
  CHECK(d.resizes);
  CHECK(d.train.labels.data<int64_t>()[5] == 0);
  // Files of a class first, then those of its folders.
  const Image third = fitted(read_image((folder.path() / "ant/3.png").string()), 8, 8);
  CHECK(std::equal(third.pixels.begin(), third.pixels.end(), d.train.images.data<uint8_t>() + 2 * 64));
  CHECK(error_of([&] { load_image_folder(folder.path().string(), sized(8)); }).find("val: ") == 0);
  DatasetOptions none;
  none.without_test = WithoutTest::accept;
  const std::string message = error_of([&] { load_image_folder(folder.path().string(), none); });
  INFO(message);
  CHECK(message.find("image-size: ") == 0);
}

TEST_CASE("sets that stay on the disk give the same images, in little memory", "[data]") {
  TemporaryFolder folder;
  put_sizes(folder.path(), 20);
  DatasetOptions o = sized(8);
  o.without_test = WithoutTest::measure;
  const Dataset near = load_image_folder(folder.path().string(), o);
  o.memory = 100;
  const Dataset far = load_image_folder(folder.path().string(), o);
  REQUIRE(near.train.images.defined());
  REQUIRE(!far.train.images.defined());
  CHECK(far.train.shape() == near.train.shape());
  const Normalization n = make_normalization("standard", near), m = make_normalization("standard", far);
  CHECK(n.mean == m.mean);
  CHECK(n.std == m.std);
  for (const char* augment : {"none", "flip+crop+rotate+cutout"}) {
    LoaderOptions options;
    options.batch_size = 7;
    options.normalization = n;
    options.augmentation = parse_augmentation(augment);
    options.threads = 2;
    Loader a(near.train, options), b(far.train, options);
    for (int i = 0; i < 8; ++i) {
      const Batch x = a.next(), y = b.next();
      CHECK(identical(x.images, y.images));
      CHECK(identical(x.labels, y.labels));
    }
  }
  CHECK(fingerprint(far) == fingerprint(load_image_folder(folder.path().string(), o)));
  const Image before = far.train.source->original(3);
  put(folder.path() / "bee/1.png", grey(5, 5, 77));
  CHECK(fingerprint(far) != fingerprint(load_image_folder(folder.path().string(), o)));
  const Split half = subset(far.train, {0, 2, 4});
  CHECK(half.source->original(1).pixels == far.train.source->original(2).pixels);
}

TEST_CASE("of a set that stays on the disk no tensor of pixels is made, however many images there are",
          "[data]") {
  TemporaryFolder folder;
  put_sizes(folder.path(), 20);
  for (uint64_t memory : {uint64_t{100}, uint64_t{1} << 20}) {
    DatasetOptions o = sized(16, 0.2);
    o.memory = memory;
    AllocationScope scope;
    const Dataset d = load_image_folder(folder.path().string(), o);
    const int64_t pixels = 40 * 16 * 16, labels = 40 * 8;
    if (memory == 100) {
      CHECK(scope.in_use() <= labels + 1024);
      Loader loader(d.train, {.batch_size = 4, .threads = 0});
      for (int i = 0; i < 20; ++i) loader.next();
      CHECK(scope.in_use() <= labels + 1024);
    } else {
      CHECK(scope.in_use() >= pixels);
    }
  }
}

TEST_CASE("images that cannot be read are skipped and listed when asked for", "[data]") {
  TemporaryFolder folder;
  put_image_folder(folder.path());
  put(folder.path() / "train/cat/broken.png", "\x89PNG\r\n\x1a\n");
  put(folder.path() / "train/cat/empty.jpg", "");
  put(folder.path() / "train/cat/notes.txt", "x");
  put(folder.path() / "train/stray.png", grey(3, 3, 1));
  CHECK(error_of([&] { load_image_folder(folder.path().string()); }).find("broken.png: at byte 8") !=
        std::string::npos);
  DatasetOptions o;
  o.skip_bad = true;
  const Dataset d = load_image_folder(folder.path().string(), o);
  CHECK(d.train.size() == 6);
  REQUIRE(d.skipped.size() == 2);
  CHECK(d.skipped[0].file.ends_with("train/cat/broken.png"));
  CHECK(d.skipped[0].reason == "at byte 8: the PNG is cut off");
  CHECK(d.passed_over.size() == 2);
  for (const auto& entry : fs::directory_iterator(folder.path() / "train/dog")) put(entry.path(), "no");
  CHECK(error_of([&] {
          load_image_folder(folder.path().string(), o);
        }).find("the class folder \"dog\" holds no image that can be read") != std::string::npos);
}

TEST_CASE("a folder's check tells everything at once", "[data]") {
  TemporaryFolder folder;
  put_image_folder(folder.path());
  const fs::path p = folder.path();
  put(p / "train/cat/broken.png", "no");
  put(p / "train/cat/wide.png", png(40, 10, 2, some_pixels(1200)));
  put(p / "train/cat/grey.png", grey(12, 10, 9));
  put(p / "train/dog/again.png", bytes_of(p / "train/cat/a.png"));
  put(p / "test/dog/leak.png", bytes_of(p / "train/dog/b.png"));
  put(p / "train/dog/below/n.png", grey(12, 10, 10));
  put(p / "train/dog/movie.gif", "GIF89a");
  put(p / "train/stray.png", grey(12, 10, 11));
  put(p / "train/dog/ghost.png", png(2, 1, 4, std::string("\x10\x80\x20\xff", 4)));
  fs::create_directories(p / "train/empty");
  fs::create_directories(p / "test/bird");
  const FolderReport r = check_image_folder(p.string());
  std::multiset<std::string> kinds;
  for (const FolderFinding& f : r.findings) kinds.insert(f.kind);
  CHECK(kinds.count("layout") == 2);
  CHECK(kinds.count("unreadable") == 1);
  CHECK(kinds.count("size") == 2);
  CHECK(kinds.count("aspect") == 2);
  CHECK(kinds.count("channels") == 3);
  CHECK(kinds.count("duplicate") == 1);
  CHECK(kinds.count("leak") == 1);
  CHECK(kinds.count("nested") == 1);
  CHECK(kinds.count("format") == 1);
  CHECK(kinds.count("unlabelled") == 1);
  CHECK(kinds.count("transparent") == 1);
  CHECK(r.bad() == 3);
  for (int64_t i = 0; i < r.bad(); ++i) CHECK(r.findings[static_cast<size_t>(i)].bad);  // before all others
  REQUIRE(r.notes.size() == 2);
  CHECK(r.notes[0] == "images have 3 sizes, 2x1 to 40x10 pixels");
}

TEST_CASE("a folder val beside train is the validation part, and then none is set apart", "[data]") {
  for (const char* name : {"val", "valid", "validation"}) {
    INFO(name);
    TemporaryFolder folder;
    const fs::path& p = folder.path();
    put_sizes(p / "train");
    put_sizes(p / name, 2);
    const std::string data = "folder:" + p.string();
    Dataset d = load_dataset(data, sized(8));  // without a test part
    CHECK(d.train.size() == 12);
    CHECK(d.test.size() == 0);
    CHECK(d.validation.labels.to_vector() == std::vector<double>{0, 0, 1, 1});
    CHECK(d.validation.files[0] == std::string(name) + "/ant/0.png");
    CHECK(d.apart.part == 0);
    const std::string before = fingerprint(d);
    put_sizes(p / "test", 1);
    d = load_dataset(data, sized(8));
    CHECK(d.test.size() == 2);
    CHECK(d.validation.size() == 4);
    CHECK(d.passed_over.empty());
    CHECK(fingerprint(d) != before);
    CHECK(error_of([&] {
            load_dataset(data, sized(8, 0.5));
          }).find("val: " + p.string() + " has a folder " + name + " to validate with") == 0);
    // Its classes are those of train; what it shares with them is told.
    put(p / name / "cat/1.png", grey(4, 4, 1));
    CHECK(error_of([&] { load_dataset(data, sized(8)); }).find("\"cat\" is not among the training classes") !=
          std::string::npos);
    const FolderReport r = check_image_folder(p.string());
    CHECK(std::count_if(r.findings.begin(), r.findings.end(),
                        [](const FolderFinding& f) { return f.kind == "leak"; }) == 6);
  }
  // Without train it is a class as any other.
  TemporaryFolder flat;
  for (const char* name : {"val", "bee"}) put(flat.path() / name / "1.png", grey(4, 4, 1));
  CHECK(load_dataset("folder:" + flat.path().string(), {.without_test = WithoutTest::accept}).class_names ==
        std::vector<std::string>{"bee", "val"});
}

TEST_CASE("a limit takes images of all classes of a folder", "[data]") {
  TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"})
    for (uint32_t i = 0; i < 6; ++i)
      for (const char* part : {"train", "test"})
        put(folder.path() / part / name / fmt::format("{}.png", i),
            grey(5, 5, i + 7 * static_cast<uint32_t>(name[0])));
  for (int64_t channels : {0, 3}) {  // of which the second reads no more files than it takes
    const Dataset d = load_dataset("folder:" + folder.path().string(),
                                   {.limit_train = 6, .limit_test = 3, .channels = channels});
    CHECK(d.train.labels.to_vector() == std::vector<double>{0, 0, 1, 1, 2, 2});
    CHECK(d.test.labels.to_vector() == std::vector<double>{0, 1, 2});
    CHECK(d.train.files[2] == "train/b/0.png");
  }
}

TEST_CASE("a file that changed since the run began is named, whatever its size", "[data]") {
  TemporaryFolder folder;
  for (const char* name : {"a", "b"}) put(folder.path() / name / "1.png", grey(9, 7, 3));
  const Dataset d = load_image_folder(
      folder.path().string(), {.height = 5, .width = 5, .without_test = WithoutTest::accept, .memory = 0});
  std::vector<uint8_t> pixels(25);
  d.train.read(0, pixels.data());
  put(folder.path() / "a/1.png", grey(9, 7, 4));
  CHECK(error_of([&] {
          d.train.read(0, pixels.data());
        }).find("it is no longer what it was when the run began") != std::string::npos);
}

TEST_CASE("where no size is that of most images, a folder's check calls none of them odd", "[data]") {
  TemporaryFolder folder;
  for (int i = 1; i <= 4; ++i) put(folder.path() / fmt::format("a/{}.png", i), grey(3 * i, 5, i));
  put(folder.path() / "b/5.png", grey(40, 5, 5));
  const FolderReport r = check_image_folder(folder.path().string());
  CHECK(r.findings.empty());
  REQUIRE(r.notes.size() == 1);
  CHECK(r.notes[0] == "images have 5 sizes, 3x5 to 40x5 pixels");
}

TEST_CASE("the eight Exif orientations are applied as Pillow applies them", "[data]") {
  const SafeTensors golden = load_safetensors(SIGMA_SOURCE_DIR "/tests/golden/images.safetensors");
  for (int o = 1; o <= 8; ++o) {
    INFO(o);
    const Tensor &file = golden.tensors.at(fmt::format("exif.{}.file", o)),
                 &y = golden.tensors.at(fmt::format("exif.{}.y", o));
    const Bytes jpeg(file.data<uint8_t>(), file.data<uint8_t>() + file.numel());
    CHECK(exif_orientation(jpeg) == o);
    const Image image = decode_image(jpeg, "x");
    REQUIRE(image.height == y.dim(0));
    REQUIRE(image.width == y.dim(1));
    CHECK(image.turned == (o != 1));
    for (int64_t i = 0; i < y.numel(); ++i)
      REQUIRE(std::abs(image.pixels[static_cast<size_t>(i)] - y.data<uint8_t>()[i]) <= 2);
    // Whatever the block is cut off at or damaged: an orientation, or none.
    for (size_t i = 0; i < std::min<size_t>(jpeg.size(), 120); ++i) {
      Bytes changed = jpeg;
      changed[i] ^= 0xff;
      const int found = exif_orientation(changed);
      CHECK((found >= 1 && found <= 8));
      exif_orientation(Bytes(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(i)));
    }
  }
}

TEST_CASE("transparent pixels show white, and 16 bits are rounded to 8", "[data]") {
  const Image ghost = decode_image(bytes(png(3, 1, 4, std::string("\x10\x80\x20\xff\x30\x00", 6))), "x");
  CHECK(ghost.channels == 1);
  CHECK(ghost.transparent);
  CHECK(ghost.pixels == Bytes{135, 0x20, 255});
  const Image colour = decode_image(bytes(png(1, 1, 6, std::string("\x00\x64\xff\x33", 4))), "x");
  CHECK(colour.pixels == Bytes{204, 224, 255});
  // Grey and alpha of 8 bits and grey of 16 have rows of the same length: only the header differs.
  const std::string pairs = png(3, 1, 4, std::string("\x00\x7f\x00\x81\xff\xff", 6));
  std::string content = pairs.substr(16, 13);
  content[8] = 16;
  content[9] = 0;
  const std::string deep = pairs.substr(0, 8) + png_chunk("IHDR", content) + pairs.substr(33);
  const Image scaled = decode_image(bytes(deep), "x");
  CHECK(scaled.deep);
  CHECK(scaled.pixels == Bytes{0, 1, 255});  // 127, 129 and 65535 of 65535
}

TEST_CASE("a validation part takes its share of each class, and leaves each one", "[data]") {
  Dataset d = numbered({20, 3, 1, 2});
  set_apart(d, 0.25, 7);
  CHECK(label_counts(d.validation) == std::map<int64_t, int64_t>{{0, 5}, {1, 1}, {3, 1}});
  CHECK(label_counts(d.train) == std::map<int64_t, int64_t>{{0, 15}, {1, 2}, {2, 1}, {3, 1}});
  std::set<uint8_t> seen;
  for (const Split* s : {&d.train, &d.validation})
    for (int64_t i = 0; i < s->size(); ++i) CHECK(seen.insert(s->images.data<uint8_t>()[i]).second);
  CHECK(seen.size() == 26);
  Dataset same = numbered({20, 3, 1, 2}), other = numbered({20, 3, 1, 2});
  set_apart(same, 0.25, 7);
  set_apart(other, 0.25, 8);
  CHECK(identical(same.validation.images, d.validation.images));
  CHECK(!identical(other.validation.images, d.validation.images));
  CHECK(fingerprint(other) != fingerprint(d));
  for (double part : {0.0, 1.0, -0.1, std::nan("")})
    CHECK(error_of([&] { set_apart(d, part, 0); }).find("val: expected a part") == 0);
  Dataset lone = numbered({1, 1});
  CHECK(error_of([&] { set_apart(lone, 0.5, 0); }).find("no class has two") != std::string::npos);
}

TEST_CASE("the balanced sampler shows each class equally often, small classes in turn", "[data]") {
  const Dataset d = numbered({30, 6, 3});
  LoaderOptions o;
  o.batch_size = 13;
  o.sampler = Sampler::balanced;
  o.threads = 0;
  o.normalization = {"none", {0}, {1.0 / 255}};
  Loader loader(d.train, o);
  REQUIRE(loader.steps_per_epoch() == 3);
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::map<int64_t, int64_t> classes;
    std::map<int, int> images;
    for (int step = 0; step < 3; ++step) {
      const Batch b = loader.next();
      for (int64_t i = 0; i < b.labels.numel(); ++i) {
        ++classes[b.labels.data<int64_t>()[i]];
        ++images[static_cast<int>(std::lround(b.images.data<float>()[i]))];
      }
    }
    CHECK(classes == std::map<int64_t, int64_t>{{0, 13}, {1, 13}, {2, 13}});
    for (int i = 30; i < 36; ++i) CHECK((images[i] == 2 || images[i] == 3));
    for (int i = 36; i < 39; ++i) CHECK((images[i] == 4 || images[i] == 5));
  }
  Loader again(d.train, o, 7);
  CHECK(identical(again.next().images, loader.make(7).images));
}
