// Data sets in memory: 8-bit images and class labels, a training and a test part.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"

namespace sigma {

struct Split {
  Tensor images;  // uint8 (N, C, H, W), channels_last
  Tensor labels;  // int64 (N), 0..classes-1
  int64_t size() const { return images.defined() ? images.dim(0) : 0; }
};

struct Dataset {
  std::string name;
  Split train, test;
  std::vector<std::string> class_names;

  int64_t channels() const { return train.images.dim(1); }
  int64_t height() const { return train.images.dim(2); }
  int64_t width() const { return train.images.dim(3); }
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
};

struct DatasetOptions {
  std::string data_dir;     // empty: default_data_dir()
  int64_t limit_train = 0;  // the first N images only; 0: all
  int64_t limit_test = 0;
};

// $SIGMA_DATA_DIR, else ~/.cache/sigma.
std::string default_data_dir();

// One of dataset_table(). Throws kind usage for an unknown name, kind io when files are missing, kind data
// when they are malformed; messages name the file and the byte.
Dataset load_dataset(const std::string& name, const DatasetOptions& options = {});

// What load_dataset knows: a row a data set, and one, "folder:PATH", for a format that reads the user's own.
struct DatasetRow {
  std::string name, about;
  std::string folder;  // of its files in the data folder; empty: it is made here, or is the user's own
  // `path` is the data folder's `folder`, or the PATH of the name.
  Dataset (*load)(const std::string& path, const DatasetOptions& options);

  bool takes_path() const { return name.ends_with(":PATH"); }
  bool built_in() const { return folder.empty() && !takes_path(); }
  bool is(const std::string& a_name) const;  // "folder:x" is "folder:PATH"
  // Of one that takes a path: "folder:".
  std::string prefix() const { return name.substr(0, name.size() - 4); }
};
const std::vector<DatasetRow>& dataset_table();
// The row of a name such as "mnist" or "folder:x"; null when there is none.
const DatasetRow* find_dataset(const std::string& name);
// Of the table: mnist, ..., without those that take a path.
const std::vector<std::string>& dataset_names();
// For a help text: "mnist|...|folder:PATH".
std::string dataset_usage();

// The same data set from any working folder: "folder:x" with the absolute path of x; other names as they are.
std::string absolute_data_name(const std::string& name);

// Built-in generators: image i is a function of (part, i) alone.
Dataset make_synth_digits(int64_t train, int64_t test);   // 28x28 grey, ten digits from strokes
Dataset make_synth_objects(int64_t train, int64_t test);  // 32x32 colour, five shapes x two textures

// A digest of sizes, labels and pixels, so that a resumed run sees that the data changed.
std::string fingerprint(const Dataset& dataset);

}  // namespace sigma
