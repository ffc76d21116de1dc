// `sigma data verify`: whether the files of a data set are as published.
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/verbs/data.h"

namespace sigma::app {
namespace {

class DataVerify : public DataVerb {
 public:
  DataVerify() : DataVerb("verify", "whether its files are as published") {}

  int run(const Options& o) override {
    const std::string name = name_of(o);
    bool good = true;
    Json all = Json::array();
    for (const VerifyRow& r : verify_dataset(catalog_entry(name), data_folder(o))) {
      if (!o.json) print(fmt::format("{:<30} {}", r.file, r.status));
      all.push_back({{"file", r.file}, {"status", r.status}, {"good", r.good}});
      good &= r.good;
    }
    if (o.json) print_json({{"data", name}, {"good", good}, {"files", all}});
    if (!good)
      fail(ErrorKind::data, name,
           "not all files are as published; `sigma data fetch {}` downloads missing ones", name);
    return 0;
  }
};

const RegisterVerb<DataVerify> register_data_verify(82);

}  // namespace
}  // namespace sigma::app
