// Data sets in memory: 8-bit images and class labels, a training and a test part.
#pragma once

#include <string>
#include <vector>

#include "core/file.h"
#include "core/tensor.h"
#include "data/formats/image.h"

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

// mnist, fashion-mnist, kmnist, cifar10, cifar100, folder:PATH, synth-digits, synth-objects. Throws kind
// usage for an unknown name, kind io when files are missing, kind data when they are malformed; messages name
// the file and the byte.
Dataset load_dataset(const std::string& name, const DatasetOptions& options = {});
const std::vector<std::string>& dataset_names();

// A digest of sizes, labels and pixels, so that a resumed run sees that the data changed.
std::string fingerprint(const Dataset& dataset);

// Readers, one a format.
//
// MNIST family: four IDX files (http://yann.lecun.com/exdb/mnist), plain or .gz.
Dataset load_idx(const std::string& folder, std::vector<std::string> class_names);
// One IDX file of unsigned bytes: dims and data.
struct IdxFile {
  std::vector<int64_t> dims;
  Bytes data;
};
IdxFile parse_idx(const Bytes& bytes, const std::string& place, int expected_rank);
// Inflates exactly one gzip member; output is bounded by 1100 times the input.
Bytes gunzip(const Bytes& bytes, const std::string& place);
// CIFAR binary files: 1 (10 classes) or 2 (100 classes) label bytes, then 32x32 red, green and blue planes.
Dataset load_cifar(const std::string& folder, bool hundred);
// train/<class>/*.png|jpg|jpeg and test/<class>/...; all images of one size. Classes are those of train, in
// byte order.
Dataset load_image_folder(const std::string& path);

// Built-in generators: image i is a function of (part, i) alone.
Dataset make_synth_digits(int64_t train, int64_t test);   // 28x28 grey, ten digits from strokes
Dataset make_synth_objects(int64_t train, int64_t test);  // 32x32 colour, five shapes x two textures

}  // namespace sigma
