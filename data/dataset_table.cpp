// The table of data sets: the one place that names them. A new format is a file in data/formats/ and a row
// here; what can be downloaded is in data/catalog.cpp under the same name.
#include "data/dataset.h"
#include "data/formats/cifar.h"
#include "data/formats/idx.h"
#include "data/formats/image_folder.h"

namespace sigma {
namespace {

using Options = DatasetOptions;

constexpr int64_t kTrain = 12000, kTest = 2000;
// Image i does not depend on how many there are, so what a limit would drop need not be drawn.
int64_t count(int64_t all, int64_t most) { return most > 0 ? std::min(all, most) : all; }

Dataset mnist(const std::string& path, const Options&) {
  return load_idx(path, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}
Dataset fashion_mnist(const std::string& path, const Options&) {
  return load_idx(
      path, {"t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"});
}
Dataset kmnist(const std::string& path, const Options&) {
  return load_idx(path, {"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"});
}
Dataset cifar10(const std::string& path, const Options&) { return load_cifar(path, false); }
Dataset cifar100(const std::string& path, const Options&) { return load_cifar(path, true); }
Dataset image_folder(const std::string& path, const Options& o) { return load_image_folder(path, o); }
Dataset synth_digits(const std::string&, const Options& o) {
  return make_synth_digits(count(kTrain, o.limit_train), count(kTest, o.limit_test));
}
Dataset synth_objects(const std::string&, const Options& o) {
  return make_synth_objects(count(kTrain, o.limit_train), count(kTest, o.limit_test));
}

}  // namespace

const std::vector<DatasetRow>& dataset_table() {
  static const std::vector<DatasetRow> rows = {
      {"mnist", "handwritten digits, 60,000 + 10,000, 28x28 grey", "mnist", mnist},
      {"fashion-mnist", "articles of clothing, 60,000 + 10,000, 28x28 grey", "fashion-mnist", fashion_mnist},
      {"kmnist", "cursive Japanese characters, 60,000 + 10,000, 28x28 grey", "kmnist", kmnist},
      {"cifar10", "photographs of ten kinds of things, 50,000 + 10,000, 32x32 colour", "cifar-10-batches-bin",
       cifar10},
      {"cifar100", "photographs of a hundred kinds of things, 50,000 + 10,000, 32x32 colour",
       "cifar-100-binary", cifar100},
      {"synth-digits", "built in: ten digits drawn from strokes, 12,000 + 2,000, 28x28 grey", "",
       synth_digits},
      {"synth-objects", "built in: five shapes in two textures, 12,000 + 2,000, 32x32 colour", "",
       synth_objects},
      {"folder:PATH", "your own: PATH/train/<class>/*.png|jpg and PATH/test/<class>/..., or PATH/<class>/...",
       "", image_folder},
  };
  return rows;
}

}  // namespace sigma
