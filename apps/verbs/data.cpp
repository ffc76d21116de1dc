// `sigma data list|fetch|verify|preview`.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/report/canvas.h"
#include "apps/run/progress.h"
#include "apps/verbs/verbs.h"
#include "core/text.h"
#include "data/catalog.h"
#include "data/download.h"
#include "data/transforms/transforms.h"

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
       join(names, ", "));
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

// The first `count` training images of a class.
std::vector<int64_t> first_of_class(const Split& split, int64_t label, int64_t count) {
  std::vector<int64_t> rows;
  const int64_t* labels = split.labels.data<int64_t>();
  for (int64_t i = 0; i < split.size() && static_cast<int64_t>(rows.size()) < count; ++i)
    if (labels[i] == label) rows.push_back(i);
  return rows;
}

// Values as pixels: 0 is grey, -3 black and 3 white.
std::vector<uint8_t> shades(const Tensor& values) {
  std::vector<uint8_t> pixels;
  const float* v = values.data<float>();
  for (int64_t i = 0; i < values.numel(); ++i)
    pixels.push_back(static_cast<uint8_t>(std::clamp(127.5 + 42.5 * static_cast<double>(v[i]), 0.0, 255.0)));
  return pixels;
}

// A contact sheet: rows are classes; the same images as they are, standardised and, with `whiten`, whitened,
// side by side.
int preview(const Options& o, const std::string& name, bool whiten) {
  constexpr int64_t kImages = 6;
  std::string target = o.out.empty() ? "preview.png" : o.out;
  std::error_code ignored;
  if (fs::exists(target, ignored) && !o.overwrite)
    fail(ErrorKind::usage, "--out", "{} exists; use --overwrite or another name", target);
  Dataset d = load_dataset(name, {o.data_dir, 0, 0});
  struct Panel {
    std::string title;
    std::optional<Normalization> normalization;
  };
  std::vector<Panel> panels{{"raw", {}},
                            {"standard: 0 is grey, +-3 white and black", make_normalization("standard", d)}};
  int64_t size = d.channels() * d.height() * d.width();
  if (whiten && size > kMaxWhitened) {
    panels.push_back({fmt::format("zca: images of at most {} values", kMaxWhitened), {}});
  } else if (whiten) {
    ProgressLine line(o.quiet);
    line.show(fmt::format("whitening: {} values of {} images", size, d.train.size()));
    try {
      Normalization n = make_normalization("zca", d);
      panels.push_back({describe(n), n});
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::data) throw;
      panels.push_back({"zca: the images do not vary", {}});
    }
  }
  auto classes = std::min<int64_t>(d.classes(), 20);
  int zoom = d.width() <= 32 ? 2 : 1;
  double cell_w = static_cast<double>(d.width()) * zoom + 4,
         cell_h = static_cast<double>(d.height()) * zoom + 4, left = 130, top = 62,
         panel_w = cell_w * static_cast<double>(kImages);
  auto ruler = make_png(1, 1, 1);
  for (const Panel& p : panels) panel_w = std::max(panel_w, ruler->text_width(p.title, 12));
  panel_w = std::ceil(panel_w) + 24;
  auto canvas = make_png(left + panel_w * static_cast<double>(panels.size()),
                         top + cell_h * static_cast<double>(classes) + 10, 1);
  canvas->text(10, 24,
               fmt::format("{}: {} training and {} test images, {}x{}x{}, {} classes", name, d.train.size(),
                           d.test.size(), d.channels(), d.height(), d.width(), d.classes()),
               14, kInk);
  for (size_t k = 0; k < panels.size(); ++k) {
    double x = left + panel_w * static_cast<double>(k);
    canvas->text(x, top - 8, panels[k].title, 12, kMuted);
    if (k > 0 && !panels[k].normalization) continue;
    for (int64_t c = 0; c < classes; ++c) {
      double y = top + cell_h * static_cast<double>(c);
      if (k == 0)
        canvas->text(left - 8, y + cell_h / 2 + 4, d.class_names[static_cast<size_t>(c)], 12, kInk,
                     Anchor::end);
      std::vector<int64_t> rows = first_of_class(d.train, c, kImages);
      std::vector<uint8_t> shown;
      if (k > 0) shown = shades(normalized_images(d.train, rows, *panels[k].normalization));
      for (size_t i = 0; i < rows.size(); ++i)
        canvas->image(x + cell_w * static_cast<double>(i), y, d.height(), d.width(), d.channels(),
                      k > 0 ? shown.data() + static_cast<int64_t>(i) * size
                            : d.train.images.data<uint8_t>() + rows[i] * size,
                      zoom);
    }
  }
  write_file_atomic(target, canvas->finish());
  std::puts(o.json ? Json{{"preview", target}}.dump().c_str() : target.c_str());
  return 0;
}

}  // namespace

int run_data(const Options& o, const std::string& action, const std::string& name, const std::string& mirror,
             double timeout, bool whiten) {
  if (action == "list") return list(o);
  std::string data = name.empty() ? o.data : name;
  if (data.empty()) fail(ErrorKind::usage, "data " + action, "expected the name of a data set");
  if (action == "verify") return verify(o, data);
  if (action == "preview") return preview(o, data, whiten);
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
