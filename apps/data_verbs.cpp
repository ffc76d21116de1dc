// `sigma data list|fetch|verify|preview`.
#include <cstdio>
#include <filesystem>

#include "apps/canvas.h"
#include "apps/progress.h"
#include "apps/verbs.h"
#include "data/catalog.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const Options& o) { return o.data_dir.empty() ? default_data_dir() : o.data_dir; }

const CatalogEntry& entry(const std::string& name) {
  const CatalogEntry* e = find_in_catalog(name);
  if (e) return *e;
  std::vector<std::string> names;
  for (const CatalogEntry& c : catalog()) names.push_back(c.name);
  fail(ErrorKind::usage, "data", "\"{}\" is not a public data set, expected one of {}", name,
       fmt::join(names, ", "));
}

int list(const Options& o) {
  Json all = Json::array();
  auto row = [&](const std::string& name, const std::string& about, bool here) {
    if (!o.json) std::puts(fmt::format("{:<14} {:<8} {}", name, here ? "here" : "-", about).c_str());
    all.push_back({{"name", name}, {"here", here}, {"about", about}});
  };
  for (const CatalogEntry& e : catalog()) {
    std::error_code ignored;
    row(e.name, e.about, fs::exists(fs::path(folder_of(o)) / e.folder, ignored));
  }
  row("synth-digits", "built in: ten digits drawn from strokes, 12,000 + 2,000, 28x28 grey", true);
  row("synth-objects", "built in: five shapes in two textures, 12,000 + 2,000, 32x32 colour", true);
  row("folder:PATH", "your own: PATH/train/<class>/*.png|jpg and PATH/test/<class>/...", false);
  if (o.json)
    std::puts(Json{{"data_sets", all}}.dump().c_str());
  else
    std::puts(fmt::format("data folder: {}", folder_of(o)).c_str());
  return 0;
}

int verify(const Options& o, const std::string& name) {
  bool good = true;
  Json all = Json::array();
  for (const VerifyRow& r : verify_dataset(entry(name), folder_of(o))) {
    if (!o.json) std::puts(fmt::format("{:<30} {}", r.file, r.status).c_str());
    all.push_back({{"file", r.file}, {"status", r.status}, {"good", r.good}});
    good &= r.good;
  }
  if (o.json) std::puts(Json{{"data", name}, {"good", good}, {"files", all}}.dump().c_str());
  if (!good)
    fail(ErrorKind::data, name,
         "not all files are as published; `sigma data fetch {}` downloads missing ones", name);
  return 0;
}

// Images in rows by class, each enlarged, in a contact sheet.
int preview(const Options& o, const std::string& name) {
  std::string target = o.out.empty() ? "preview.png" : o.out;
  std::error_code ignored;
  if (fs::exists(target, ignored) && !o.overwrite)
    fail(ErrorKind::usage, "--out", "{} exists; use --overwrite or another name", target);
  Dataset d = load_dataset(name, {o.data_dir, 0, 0});
  constexpr int kColumns = 12;
  auto classes = std::min<int64_t>(d.classes(), 20);
  int zoom = d.width() <= 32 ? 2 : 1;
  double cell_w = static_cast<double>(d.width()) * zoom + 4,
         cell_h = static_cast<double>(d.height()) * zoom + 4, left = 130;
  auto canvas = make_png(left + cell_w * kColumns + 10, 40 + cell_h * static_cast<double>(classes) + 10, 1);
  canvas->text(10, 24,
               fmt::format("{}: {} training and {} test images, {}x{}x{}, {} classes", name, d.train.size(),
                           d.test.size(), d.channels(), d.height(), d.width(), d.classes()),
               14, kInk);
  const int64_t* labels = d.train.labels.data<int64_t>();
  const uint8_t* images = d.train.images.data<uint8_t>();
  int64_t size = d.channels() * d.height() * d.width();
  for (int64_t c = 0; c < classes; ++c) {
    double y = 40 + cell_h * static_cast<double>(c);
    canvas->text(left - 8, y + cell_h / 2 + 4, d.class_names[static_cast<size_t>(c)], 12, kInk, Anchor::end);
    int column = 0;
    for (int64_t i = 0; i < d.train.size() && column < kColumns; ++i)
      if (labels[i] == c)
        canvas->image(left + cell_w * column++, y, d.height(), d.width(), d.channels(), images + i * size,
                      zoom);
  }
  write_file_atomic(target, canvas->finish());
  std::puts(o.json ? Json{{"preview", target}}.dump().c_str() : target.c_str());
  return 0;
}

}  // namespace

int run_data(const Options& o, const std::string& action, const std::string& name, const std::string& mirror,
             double timeout) {
  if (action == "list") return list(o);
  std::string data = name.empty() ? o.data : name;
  if (data.empty()) fail(ErrorKind::usage, "data " + action, "expected the name of a data set");
  if (action == "verify") return verify(o, data);
  if (action == "preview") return preview(o, data);
  const CatalogEntry& e = entry(data);
  ProgressLine line(o.quiet);
  fetch_dataset(
      e, folder_of(o), mirror,
      [&](const std::string& url, uint64_t have, uint64_t total) {
        line.show(fmt::format("{} {:.1f}/{:.1f} MB", url, static_cast<double>(have) / 1e6,
                              static_cast<double>(total) / 1e6));
      },
      timeout);
  std::string folder = (fs::path(folder_of(o)) / e.folder).string();
  std::puts((o.json ? Json{{"data", e.name}, {"folder", folder}}.dump()
                    : fmt::format("{} is in {}", e.name, folder))
                .c_str());
  return 0;
}

}  // namespace sigma::app
