#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "core/check.h"
#include "core/file.h"
#include "core/math.h"
#include "core/rng.h"
#include "core/sha256.h"
#include "core/text.h"
#include "data/transforms/resize.h"

namespace sigma {
namespace {

// The first `count` images; of a set in the order of its classes some of each.
void limit(Split& split, int64_t count, bool by_class) {
  if (count <= 0 || count >= split.size()) return;
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = by_class ? i * split.size() / count : i;
  split = subset(split, rows);
}

}  // namespace

Shape Split::shape() const {
  if (images.defined()) return images.shape();
  return source ? source->shape() : Shape{0, 0, 0, 0};
}

void Split::read(int64_t row, uint8_t* to) const {
  const Shape s = shape();
  const int64_t size = s[1] * s[2] * s[3];
  if (images.defined()) {
    std::copy_n(images.data<uint8_t>() + row * size, size, to);
  } else {
    const Image image = fitted(source->original(row), s[2], s[3]);
    std::copy(image.pixels.begin(), image.pixels.end(), to);
  }
}

Split subset(const Split& split, const std::vector<int64_t>& rows) {
  Split part;
  if (split.images.defined()) part.images = index_rows(split.images, rows);
  if (split.labels.defined()) part.labels = index_rows(split.labels, rows);
  if (split.source) part.source = split.source->subset(rows);
  if (!split.files.empty())
    for (int64_t row : rows) part.files.push_back(split.files.at(static_cast<size_t>(row)));
  return part;
}

void set_apart(Dataset& d, double part, uint64_t seed) {
  if (!(part > 0 && part < 1))
    fail(ErrorKind::usage, "val", "expected a part of the training images above 0 and below 1, got {}", part);
  const int64_t* labels = d.train.labels.data<int64_t>();
  std::vector<std::vector<int64_t>> of_class(d.class_names.size());
  for (int64_t i = 0; i < d.train.size(); ++i) of_class.at(static_cast<size_t>(labels[i])).push_back(i);
  std::vector<int64_t> stay, go;
  for (size_t c = 0; c < of_class.size(); ++c) {
    const std::vector<int64_t>& rows = of_class[c];
    const auto n = static_cast<int64_t>(rows.size());
    const int64_t wanted = std::llround(part * static_cast<double>(n)),
                  count = n < 2 ? 0 : std::clamp<int64_t>(wanted, 1, n - 1);
    const std::vector<int64_t> order = permutation(n, Rng(seed, "validation", c));
    for (int64_t i = 0; i < n; ++i)
      (i < count ? go : stay).push_back(rows[static_cast<size_t>(order[static_cast<size_t>(i)])]);
  }
  if (go.empty())
    fail(ErrorKind::usage, "val", "no class has two training images, so that one could be set apart");
  d.apart = {part, seed, d.train.size()};
  std::sort(stay.begin(), stay.end());
  std::sort(go.begin(), go.end());
  d.validation = subset(d.train, go);
  d.train = subset(d.train, stay);
}

bool DatasetRow::is(const std::string& a_name) const {
  return takes_path() ? a_name.starts_with(prefix()) : a_name == name;
}

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const DatasetRow& row : dataset_table())
      if (!row.takes_path()) all.push_back(row.name);
    return all;
  }();
  return names;
}

std::string dataset_usage() {
  std::string text;
  for (const DatasetRow& row : dataset_table()) text += (text.empty() ? "" : "|") + row.name;
  return text;
}

std::string absolute_data_name(const std::string& name) {
  const DatasetRow* row = find_dataset(name);
  if (!row || !row->takes_path()) return name;
  const std::string prefix = row->prefix();
  return prefix + std::filesystem::absolute(name.substr(prefix.size())).lexically_normal().string();
}

std::string default_data_dir() {
  if (const char* dir = std::getenv("SIGMA_DATA_DIR"); dir && *dir) return dir;
  const char* home = std::getenv("HOME");
  return (std::filesystem::path(home ? home : ".") / ".cache" / "sigma").string();
}

const DatasetRow* find_dataset(const std::string& name) {
  for (const DatasetRow& row : dataset_table())
    if (row.is(name)) return &row;
  return nullptr;
}

Dataset load_dataset(const std::string& name, const DatasetOptions& options) {
  const DatasetRow* row = find_dataset(name);
  if (!row) {
    std::vector<std::string> own;
    for (const DatasetRow& r : dataset_table())
      if (r.takes_path()) own.push_back(r.name);
    fail(ErrorKind::usage, "data", "unknown data set \"{}\", expected one of {} or {}", name,
         join(dataset_names(), ", "), join(own, ", "));
  }
  const std::string base = options.data_dir.empty() ? default_data_dir() : options.data_dir;
  Dataset d = row->load(row->takes_path() ? name.substr(row->prefix().size())
                                          : (std::filesystem::path(base) / row->folder).string(),
                        options);
  d.name = name;
  limit(d.train, options.limit_train, row->takes_path());
  limit(d.test, options.limit_test, row->takes_path());
  if (options.validation > 0) set_apart(d, options.validation, options.seed);
  return d;
}

std::string fingerprint(const Dataset& d) {
  Sha256 hash;
  for (const Split* s : {&d.train, &d.test, &d.validation}) {
    if (s == &d.validation && s->size() == 0) continue;  // as it was before there was such a part
    hash.update(s->shape().str());
    if (s->images.defined())
      hash.update(s->images.raw(), s->images.bytes());
    else if (s->source)
      hash.update(s->source->digest());
    if (s->labels.defined()) hash.update(s->labels.raw(), s->labels.bytes());
  }
  return hash.hex().substr(0, 16);
}

}  // namespace sigma
