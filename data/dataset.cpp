#include "data/dataset.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/check.h"
#include "core/file.h"
#include "core/math.h"
#include "core/sha256.h"
#include "core/text.h"

namespace sigma {
namespace {

void limit(Split& split, int64_t count) {
  if (count <= 0 || count >= split.size()) return;
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  split.images = index_rows(split.images, rows);
  split.labels = index_rows(split.labels, rows);
}

}  // namespace

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
