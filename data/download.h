// Downloading data sets: with resumption, several addresses, and checked digests. A library of its own
// (sigma::download), because it needs libcurl.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/catalog.h"

namespace sigma {

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

}  // namespace sigma
