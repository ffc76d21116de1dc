// Data sets: 8-bit images and class labels, a training part and parts to measure on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "data/image_source.h"

namespace sigma {

// Images in memory, in files, or both: then `images` are what the source's originals look like at their size.
struct Split {
  Tensor
      images;  // uint8 (N, C, H, W), channels_last; undefined when they are read from their files as needed
  Tensor labels;  // int64 (N), 0..classes-1
  std::shared_ptr<const ImageSource> source;
  // Names of the files, one an image, below the folder of the data set; empty where an image has no file of
  // its own.
  std::vector<std::string> files{};

  int64_t size() const { return images.defined() ? images.dim(0) : source ? source->shape()[0] : 0; }
  Shape shape() const;  // (N, C, H, W)
  // H x W x C pixels of image `row`, to `to`. From several threads at once.
  void read(int64_t row, uint8_t* to) const;
};
// Some images of a split, in this order.
Split subset(const Split& split, const std::vector<int64_t>& rows);

struct Dataset {
  std::string name;
  Split train, test;
  std::vector<std::string> class_names;
  Split validation{};  // set apart from the training part, to choose by; may be empty
  // Images of any size were brought to this one (fitted, in transforms/resize.h).
  bool resizes = false;
  struct Skipped {
    std::string file, reason;
  };
  std::vector<Skipped> skipped;          // images that could not be read
  std::vector<std::string> passed_over;  // files of a folder that are no images, or of no class

  int64_t channels() const { return train.shape()[1]; }
  int64_t height() const { return train.shape()[2]; }
  int64_t width() const { return train.shape()[3]; }
  int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
  // How the validation part came about: of `images` training images that share, drawn from `seed`; 0: not.
  struct Apart {
    double part = 0;
    uint64_t seed = 0;
    int64_t images = 0;
  };
  Apart apart{};
  // What a run is measured on while it trains, to stop or to choose the best of it; and at its end.
  const Split& selection() const { return validation.size() > 0 ? validation : test; }
  const Split& measured() const { return test.size() > 0 ? test : validation; }
};

// What a folder without a test part is, when nothing is set apart of it either.
enum class WithoutTest {
  refuse,   // there would be nothing to measure on
  accept,   // a training set alone
  measure,  // all of it is the test part, too: a set for a network that was trained on another
};

struct DatasetOptions {
  std::string data_dir;     // empty: default_data_dir()
  int64_t limit_train = 0;  // the first N images only; of a folder, N spread over its classes; 0: all
  int64_t limit_test = 0;
  // Sets this part of the training images apart, see set_apart; 0: none.
  double validation = 0;
  uint64_t seed = 0;  // of that
  // Of folders of images, see formats/image_folder.h:
  int64_t height = 0, width = 0;  // bring all images to this size; 0: all must have one
  int64_t channels = 0;           // 0: 3 when any image has colour, else 1
  bool skip_bad = false;          // go on without images that cannot be read
  bool originals = false;         // random resized crops will be taken: keep more than what fits
  WithoutTest without_test = WithoutTest::refuse;
  uint64_t memory = uint64_t{256} << 20;  // bytes of pixels; a larger set stays in its files
};

// Moves a part of the training images to `validation`: of each class that share, rounded, at least one, and
// at least one stays (of a single image that one). Which, is drawn from the stream "validation" of the seed,
// for each class on its own; the order stays. Throws kind usage, with the place "val", for a part outside (0,
// 1) or when no class has two images.
void set_apart(Dataset& dataset, double part, uint64_t seed);

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
