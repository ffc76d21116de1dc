// The public data sets: where they are, their checksums, downloading and checking them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/file.h"

namespace sigma {

struct CatalogFile {
  std::string name;             // in the data set's folder
  uint64_t bytes;               // of the download
  std::string sha256;           // of the download
  std::string sha256_unpacked;  // of the content of a .gz; empty when not known
};
struct CatalogEntry {
  std::string name, folder, about;
  std::vector<std::string> mirrors;  // base addresses, each with a trailing slash
  std::vector<CatalogFile> files;
  bool archive = false;              // one .tar.gz whose members go to `folder`
  std::vector<std::string> members;  // the only names taken from the archive
};
const std::vector<CatalogEntry>& catalog();
const CatalogEntry* find_in_catalog(const std::string& name);  // null when it is not there

struct FetchRequest {
  std::vector<std::string> urls;  // tried in turn
  std::string target;             // path of the finished file
  std::string sha256;
  uint64_t bytes = 0;  // expected; a longer answer is cut short as an error
  double connect_timeout_s = 15;
};
using FetchProgress = std::function<void(const std::string& url, uint64_t have, uint64_t total)>;

// Downloads to target.part, resuming what is there, checks the digest, then renames. An existing target with
// the right digest is left alone; another one is an error (it is the user's). Throws kind io when no address
// serves the file, kind data when what came has another digest (the .part is removed).
void fetch_file(const FetchRequest& request, const FetchProgress& progress = {});
// All files of a data set into data_dir/<folder>; archives are unpacked. `mirror` replaces the catalog's
// addresses.
void fetch_dataset(const CatalogEntry& entry, const std::string& data_dir, const std::string& mirror = "",
                   const FetchProgress& progress = {}, double connect_timeout_s = 15);

// Writes those members of a .tar.gz whose base names are in `members` to `folder`; anything else in it is
// ignored, paths too.
void unpack_tar_gz(const std::string& archive, const std::vector<std::string>& members,
                   const std::string& folder);

struct VerifyRow {
  std::string file, status;  // "ok", "ok (content)", "missing", "differs"
  bool good = false;
};
std::vector<VerifyRow> verify_dataset(const CatalogEntry& entry, const std::string& data_dir);

}  // namespace sigma
