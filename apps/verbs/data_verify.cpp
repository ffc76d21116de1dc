// `sigma data verify`: whether the files of a data set are as published; of a folder of one's own, what is
// wrong with it.
#include <map>
#include <nlohmann/json.hpp>

#include "apps/run/output.h"
#include "apps/verbs/data.h"
#include "core/text.h"
#include "data/formats/folder_check.h"

namespace sigma::app {
namespace {

class DataVerify : public DataVerb {
 public:
  DataVerify()
      : DataVerb("verify", "whether its files are as published; what is wrong with a folder of images") {
    example("data verify folder:photos", "every damaged, odd, misplaced or duplicate file of a folder");
  }

  int run(const Options& o) override {
    const std::string name = name_of(o);
    const DatasetRow* row = find_dataset(name);
    if (row && row->takes_path()) return verify_folder(o, name, name.substr(row->prefix().size()));
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

 private:
  static int verify_folder(const Options& o, const std::string& name, const std::string& path) {
    const FolderReport r = check_image_folder(path);
    std::map<std::string, int64_t> counts;
    Json all = Json::array();
    for (const FolderFinding& f : r.findings) {
      ++counts[f.kind];
      if (!o.json && !o.quiet) print(fmt::format("{:<11} {}: {}", f.kind, f.file, f.what));
      all.push_back(
          {{"file", printable(f.file)}, {"kind", f.kind}, {"what", printable(f.what)}, {"bad", f.bad}});
    }
    std::vector<std::string> parts;
    for (const auto& [kind, n] : counts) parts.push_back(fmt::format("{} {}", n, kind));
    if (o.json)
      print_json({{"data", name},
                  {"good", r.bad() == 0},
                  {"images", r.images},
                  {"classes", r.classes},
                  {"counts", counts},
                  {"notes", r.notes},
                  {"findings", all}});
    else
      print(fmt::format("{} images of {} classes; {}", r.images, r.classes,
                        parts.empty() ? "nothing to remark" : join(parts, ", ")));
    for (const std::string& n : r.notes)
      if (!o.json) print(n);
    if (r.bad() > 0)
      fail(ErrorKind::data, name, "{} of these findings keep a training from beginning (layout, unreadable)",
           r.bad());
    return 0;
  }
};

const RegisterVerb<DataVerify> register_data_verify(82);

}  // namespace
}  // namespace sigma::app
