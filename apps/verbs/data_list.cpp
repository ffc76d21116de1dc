// `sigma data list`: the data sets that are known, and which are here.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/verbs/data.h"
#include "data/dataset.h"

namespace sigma::app {
namespace {

class DataList : public DataVerb {
 public:
  DataList() : DataVerb("list", "the data sets that are known", false) {}

  int run(const Options& o) override {
    Json all = Json::array();
    auto row = [&](const std::string& name, const std::string& about, bool here) {
      if (!o.json) print(fmt::format("{:<14} {:<8} {}", name, here ? "here" : "-", about));
      all.push_back({{"name", name}, {"here", here}, {"about", about}});
    };
    for (const DatasetRow& d : dataset_table()) {
      std::error_code ignored;
      const bool here = !d.folder.empty() &&
                        std::filesystem::exists(std::filesystem::path(data_folder(o)) / d.folder, ignored);
      row(d.name, d.about, here || d.built_in());
    }
    if (o.json)
      print_json({{"data_sets", all}});
    else
      print(fmt::format("data folder: {}", data_folder(o)));
    return 0;
  }
};

const RegisterVerb<DataList> register_data_list(80);

}  // namespace
}  // namespace sigma::app
