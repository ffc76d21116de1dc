#include "data/catalog.h"

#include <filesystem>

#include "core/check.h"
#include "core/sha256.h"
#include "data/dataset.h"
#include "data/formats/cifar.h"
#include "data/formats/gzip.h"

namespace sigma {
namespace {

// Addresses, sizes and digests as published by torchvision (datasets/mnist.py) and TensorFlow Datasets
// (url_checksums).
std::vector<CatalogFile> mnist_like(std::vector<CatalogFile> files) {
  const char* names[] = {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                         "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};
  for (size_t i = 0; i < files.size(); ++i) files[i].name = names[i];
  return files;
}

// Folders and descriptions are those of the table of data sets.
std::vector<CatalogEntry> with_table(std::vector<CatalogEntry> entries) {
  for (CatalogEntry& e : entries)
    for (const DatasetRow& row : dataset_table())
      if (row.name == e.name) {
        e.folder = row.folder;
        e.about = row.about;
      }
  return entries;
}

}  // namespace

const std::vector<CatalogEntry>& catalog() {
  static const std::vector<CatalogEntry> entries = with_table({
      {"mnist",
       {"https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/"},
       mnist_like({{"", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
                   {"", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
                   {"", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
                   {"", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}})},
      {"fashion-mnist",
       {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"},
       mnist_like({{"", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", ""},
                   {"", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", ""},
                   {"", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", ""},
                   {"", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", ""}})},
      {"kmnist",
       {"http://codh.rois.ac.jp/kmnist/dataset/kmnist/"},
       mnist_like({{"", 18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", ""},
                   {"", 29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", ""},
                   {"", 3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", ""},
                   {"", 5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", ""}})},
      {"cifar10",
       {"https://www.cs.toronto.edu/~kriz/"},
       {{"cifar-10-binary.tar.gz", 170052171,
         "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", ""}},
       true,
       {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin",
        "test_batch.bin", "batches.meta.txt", "readme.html"}},
      {"cifar100",
       {"https://www.cs.toronto.edu/~kriz/"},
       {{"cifar-100-binary.tar.gz", 168513733,
         "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", ""}},
       true,
       {"train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt"}},
  });
  return entries;
}

const CatalogEntry* find_in_catalog(const std::string& name) {
  for (const CatalogEntry& e : catalog())
    if (e.name == name) return &e;
  return nullptr;
}

std::vector<VerifyRow> verify_dataset(const CatalogEntry& entry, const std::string& data_dir) {
  namespace fs = std::filesystem;
  std::vector<VerifyRow> rows;
  fs::path folder = fs::path(data_dir) / entry.folder;
  std::error_code ignored;
  if (entry.archive) {
    // The archive's digest covers its members only together; they are checked by reading them.
    for (const std::string& name : entry.members) {
      if (name.size() <= 4 || name.substr(name.size() - 4) != ".bin") continue;
      uint64_t record = entry.name == "cifar100" ? 3074 : 3073, images = name == "train.bin" ? 50000 : 10000;
      bool there = fs::exists(folder / name, ignored);
      uint64_t bytes = there ? fs::file_size(folder / name, ignored) : 0, expected = images * record;
      if (!there)
        rows.push_back({name, "missing", false});
      else if (bytes != expected)
        rows.push_back({name, fmt::format("differs: {} bytes, expected {}", bytes, expected), false});
      else
        rows.push_back({name, "ok (size and labels)", true});
    }
    for (const VerifyRow& row : rows)
      if (!row.good) return rows;
    load_cifar(folder.string(), entry.name == "cifar100");  // throws, naming the file and the byte
    return rows;
  }
  for (const CatalogFile& file : entry.files) {
    fs::path packed = folder / file.name, plain = folder / file.name.substr(0, file.name.size() - 3);
    if (fs::exists(packed, ignored)) {
      if (sha256_of_file(packed.string()) == file.sha256) {
        rows.push_back({file.name, "ok", true});
        continue;
      }
      Bytes content = gunzip(read_file(packed.string()), file.name);
      Sha256 hash;
      hash.update(content.data(), content.size());
      bool same = !file.sha256_unpacked.empty() && hash.hex() == file.sha256_unpacked;
      rows.push_back(
          {file.name, same ? "ok (content; packed differently)" : "differs from the published file", same});
    } else if (fs::exists(plain, ignored)) {
      bool same = !file.sha256_unpacked.empty() && sha256_of_file(plain.string()) == file.sha256_unpacked;
      rows.push_back({plain.filename().string(),
                      same ? "ok" : "differs from the published file, or no digest is known", same});
    } else {
      rows.push_back({file.name, "missing", false});
    }
  }
  return rows;
}

}  // namespace sigma
