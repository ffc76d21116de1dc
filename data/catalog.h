// The public data sets: where they are, their checksums, and checking what is on the disk. Downloading is
// apart, in data/download.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma {

struct CatalogFile {
  std::string name;             // in the data set's folder
  uint64_t bytes;               // of the download
  std::string sha256;           // of the download
  std::string sha256_unpacked;  // of the content of a .gz; empty when not known
};
struct CatalogEntry {
  std::string name;                  // in dataset_table()
  std::vector<std::string> mirrors;  // base addresses, each with a trailing slash
  std::vector<CatalogFile> files;
  bool archive = false;                 // one .tar.gz whose members go to `folder`
  std::vector<std::string> members;     // the only names taken from the archive
  std::string folder = "", about = "";  // from that table
};
const std::vector<CatalogEntry>& catalog();
const CatalogEntry* find_in_catalog(const std::string& name);  // null when it is not there

struct VerifyRow {
  std::string file, status;  // "ok", "ok (content)", "missing", "differs"
  bool good = false;
};
std::vector<VerifyRow> verify_dataset(const CatalogEntry& entry, const std::string& data_dir);

}  // namespace sigma
