// What the parts of `sigma data` share.
#pragma once

#include <string>

#include "apps/flags/verb.h"
#include "data/catalog.h"
#include "data/download.h"

namespace sigma::app {

class DataVerb : public Verb {
 protected:
  DataVerb(std::string part, std::string about, bool takes_name = true);

  // The data set of the word or of --data; throws kind usage when there is neither.
  std::string name_of(const Options& options) const;

 private:
  void set_defaults(Options& options) const override { options.data.clear(); }
  std::string word_;
};

std::string data_folder(const Options& options);
const CatalogEntry& catalog_entry(const std::string& name);  // throws kind usage for an unknown name

}  // namespace sigma::app
