#include "apps/verbs/load_data.h"

#include <algorithm>

#include "apps/flags/naming.h"
#include "apps/run/output.h"
#include "core/text.h"
#include "data/transforms/resize.h"

namespace sigma::app {
namespace {

constexpr size_t kShown = 5;

// "a, b, c and 12 more"
std::string some_of(const std::vector<std::string>& all) {
  std::vector<std::string> shown(all.begin(),
                                 all.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, all.size())));
  return join(shown, ", ") + (all.size() > kShown ? fmt::format(" and {} more", all.size() - kShown) : "");
}

}  // namespace

DatasetOptions dataset_options(const Options& o) {
  DatasetOptions d{o.data_dir, o.limit_train, o.limit_test};
  d.validation = o.val;
  d.seed = o.seed;
  if (!o.image_size.empty()) {
    const ImageSize size = parse_image_size(o.image_size);
    d.height = size.height;
    d.width = size.width;
  }
  d.skip_bad = o.skip_bad;
  d.originals = augmentation_for(o).crop;
  return d;
}

Dataset load_data(const std::string& name, const DatasetOptions& wanted, const Options& o) {
  const DatasetRow* row = find_dataset(name);
  if (row && !row->takes_path() && !o.image_size.empty())
    fail(ErrorKind::usage, "--image-size", "is for folders of images, got {}", name);
  Dataset d = naming_flag({"val", "image-size"}, [&] { return load_dataset(name, wanted); });
  if (!d.passed_over.empty())
    warn(fmt::format("{} files are no PNG or JPEG images of a class and were not read: {}",
                     d.passed_over.size(), some_of(d.passed_over)));
  if (!d.skipped.empty()) {
    std::string list = fmt::format("{} images could not be read and were skipped:", d.skipped.size());
    for (const Dataset::Skipped& s : d.skipped) list += fmt::format("\n  {}: {}", s.file, s.reason);
    warn(list);
  }
  return d;
}

ModelInput input_for(const Options& o) {
  if (o.data.empty()) return default_input(o.model);
  DatasetOptions wanted = dataset_options(o);
  wanted.limit_train = wanted.limit_test = 1;
  wanted.without_test = WithoutTest::accept;
  const Dataset d = load_data(o.data, wanted, o);
  return {d.channels(), d.height(), d.width(), d.classes()};
}

}  // namespace sigma::app
