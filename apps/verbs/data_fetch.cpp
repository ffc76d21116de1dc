// `sigma data fetch`: downloads a public data set, going on with what is there.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/verbs/data.h"

namespace sigma::app {
namespace {

class DataFetch : public DataVerb {
 public:
  DataFetch() : DataVerb("fetch", "downloads it, or what is missing") {
    flag("--mirror", mirror_, "take the files from this address instead");
    flag("--timeout", timeout_, "seconds to wait for a connection", kPlain,
         {between(0.1, 3600, "0.1 to 3600")});
  }

  int run(const Options& o) override {
    const CatalogEntry& e = catalog_entry(name_of(o));
    ProgressLine line(o.quiet);
    auto show = [&](const std::string& url, uint64_t have, uint64_t total) {
      line.show(fmt::format("{} {:.1f}/{:.1f} MB", url, static_cast<double>(have) / 1e6,
                            static_cast<double>(total) / 1e6));
    };
    fetch_dataset(e, data_folder(o), mirror_, show, timeout_);
    const std::string folder = (std::filesystem::path(data_folder(o)) / e.folder).string();
    if (o.json)
      print_json({{"data", e.name}, {"folder", folder}});
    else
      print(fmt::format("{} is in {}", e.name, folder));
    return 0;
  }

 private:
  std::string mirror_;
  double timeout_ = 15;
};

const RegisterVerb<DataFetch> register_data_fetch(81);

}  // namespace
}  // namespace sigma::app
