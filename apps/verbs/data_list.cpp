// `sigma data list`: the data sets that are known, and which are here.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/verbs/data.h"

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
    for (const CatalogEntry& e : catalog()) {
      std::error_code ignored;
      row(e.name, e.about,
          std::filesystem::exists(std::filesystem::path(data_folder(o)) / e.folder, ignored));
    }
    row("synth-digits", "built in: ten digits drawn from strokes, 12,000 + 2,000, 28x28 grey", true);
    row("synth-objects", "built in: five shapes in two textures, 12,000 + 2,000, 32x32 colour", true);
    row("folder:PATH", "your own: PATH/train/<class>/*.png|jpg and PATH/test/<class>/...", false);
    if (o.json)
      print_json({{"data_sets", all}});
    else
      print(fmt::format("data folder: {}", data_folder(o)));
    return 0;
  }
};

const RegisterVerb<DataList> registered(80);

}  // namespace
}  // namespace sigma::app
