#include "data/dataset.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/math.h"
#include "core/sha256.h"
#include "core/text.h"

namespace sigma {
namespace {

std::vector<std::string> digits() { return {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; }

void limit(Split& split, int64_t count) {
  if (count <= 0 || count >= split.size()) return;
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  split.images = index_rows(split.images, rows);
  split.labels = index_rows(split.labels, rows);
}

Dataset load_files(const std::string& name, const std::string& base, const DatasetOptions& options) {
  auto in = [&](const char* folder) { return (std::filesystem::path(base) / folder).string(); };
  if (name == "mnist") return load_idx(in("mnist"), digits());
  if (name == "fashion-mnist")
    return load_idx(in("fashion-mnist"), {"t-shirt", "trouser", "pullover", "dress", "coat", "sandal",
                                          "shirt", "sneaker", "bag", "boot"});
  if (name == "kmnist")
    return load_idx(in("kmnist"), {"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"});
  if (name == "cifar10") return load_cifar(in("cifar-10-batches-bin"), false);
  if (name == "cifar100") return load_cifar(in("cifar-100-binary"), true);
  // Image i does not depend on how many there are, so what a limit would drop need not be drawn.
  auto count = [](int64_t all, int64_t most) { return most > 0 ? std::min(all, most) : all; };
  int64_t train = count(12000, options.limit_train), test = count(2000, options.limit_test);
  if (name == "synth-digits") return make_synth_digits(train, test);
  if (name == "synth-objects") return make_synth_objects(train, test);
  if (name.rfind("folder:", 0) == 0) return load_image_folder(name.substr(7));
  fail(ErrorKind::usage, "--data", "unknown data set \"{}\", expected one of {} or folder:PATH", name,
       join(dataset_names(), ", "));
}

}  // namespace

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = {"mnist",    "fashion-mnist", "kmnist",       "cifar10",
                                                 "cifar100", "synth-digits",  "synth-objects"};
  return names;
}

std::string default_data_dir() {
  if (const char* dir = std::getenv("SIGMA_DATA_DIR"); dir && *dir) return dir;
  const char* home = std::getenv("HOME");
  return (std::filesystem::path(home ? home : ".") / ".cache" / "sigma").string();
}

Dataset load_dataset(const std::string& name, const DatasetOptions& options) {
  Dataset d = load_files(name, options.data_dir.empty() ? default_data_dir() : options.data_dir, options);
  d.name = name;
  limit(d.train, options.limit_train);
  limit(d.test, options.limit_test);
  return d;
}

std::string fingerprint(const Dataset& d) {
  Sha256 hash;
  for (const Split* s : {&d.train, &d.test}) {
    hash.update(s->images.shape().str());
    hash.update(s->images.raw(), s->images.bytes());
    hash.update(s->labels.raw(), s->labels.bytes());
  }
  return hash.hex().substr(0, 16);
}

}  // namespace sigma
