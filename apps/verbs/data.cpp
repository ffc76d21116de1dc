#include "apps/verbs/data.h"
#include "core/text.h"

namespace sigma::app {

DataVerb::DataVerb(std::string part, std::string about, bool takes_name)
    : Verb("data " + std::move(part), std::move(about)) {
  use("--data-dir");
  if (!takes_name) return;
  words("name", word_, "the data set");
  use("--data", "the data set, as elsewhere");
}

std::string DataVerb::name_of(const Options& o) const {
  std::string found = word_.empty() ? o.data : word_;
  if (found.empty()) fail(ErrorKind::usage, name(), "expected the name of a data set");
  return found;
}

std::string data_folder(const Options& o) { return o.data_dir.empty() ? default_data_dir() : o.data_dir; }

const CatalogEntry& catalog_entry(const std::string& name) {
  if (const CatalogEntry* e = find_in_catalog(name)) return *e;
  std::vector<std::string> names;
  for (const CatalogEntry& c : catalog()) names.push_back(c.name);
  fail(ErrorKind::usage, "data", "\"{}\" is not a public data set, expected one of {}", name,
       join(names, ", "));
}

}  // namespace sigma::app
