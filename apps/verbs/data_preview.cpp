// `sigma data preview`: a contact sheet of a data set.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/report/canvas.h"
#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/verbs/data.h"
#include "apps/verbs/load_data.h"
#include "core/file.h"
#include "data/loader.h"
#include "data/transforms/transforms.h"

namespace sigma::app {
namespace {

constexpr int64_t kImages = 6;  // of each class

struct Panel {
  std::string title;
  std::optional<Normalization> normalization;
  std::optional<Augmentation> augmentation{};
};

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

// The images as they are, standardised and, with `whiten`, whitened.
std::vector<Panel> panels_of(const Dataset& d, bool whiten, bool quiet) {
  std::vector<Panel> panels{{"raw", {}},
                            {"standard: 0 is grey, +-3 white and black", make_normalization("standard", d)}};
  const int64_t size = d.channels() * d.height() * d.width();
  if (!whiten) return panels;
  if (size > kMaxWhitened) {
    panels.push_back({fmt::format("zca: images of at most {} values", kMaxWhitened), {}});
    return panels;
  }
  if (!quiet)
    note(
        fmt::format("whitening: the covariance of {} values in {} images and its decomposition; "
                    "--no-whiten leaves that out",
                    size, d.train.size()));
  try {
    Normalization n = make_normalization("zca", d);
    panels.push_back({describe(n), n});
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::data) throw;
    panels.push_back({"zca: the images do not vary", {}});
  }
  return panels;
}

// Images as a first epoch of training shows them, in one batch.
std::vector<uint8_t> augmented(const Split& some, const Augmentation& a) {
  LoaderOptions options;
  options.batch_size = some.size();
  options.normalization = make_normalization("none", {});
  options.augmentation = a;
  options.threads = 0;
  options.shuffle = false;
  const Tensor values = Loader(some, options).make(0).images;
  std::vector<uint8_t> pixels;
  const float* v = values.data<float>();
  for (int64_t i = 0; i < values.numel(); ++i)
    pixels.push_back(static_cast<uint8_t>(std::clamp(v[i] + 0.5f, 0.0f, 255.0f)));
  return pixels;
}

class Sheet {
 public:
  Sheet(const Dataset& d, const std::string& name, const std::vector<Panel>& panels)
      : data_(d),
        classes_(std::min<int64_t>(d.classes(), 20)),
        zoom_(d.width() <= 32 ? 2 : 1),
        cell_w_(static_cast<double>(d.width()) * zoom_ + 4),
        cell_h_(static_cast<double>(d.height()) * zoom_ + 4) {
    double panel_w = cell_w_ * static_cast<double>(kImages);
    auto ruler = make_png(1, 1, 1);
    for (const Panel& p : panels) panel_w = std::max(panel_w, ruler->text_width(p.title, 12));
    panel_w = std::ceil(panel_w) + 24;
    canvas_ = make_png(kLeft + panel_w * static_cast<double>(panels.size()),
                       kTop + cell_h_ * static_cast<double>(classes_) + 10, 1);
    canvas_->text(
        10, 24,
        fmt::format("{}: {} training and {} test images, {}x{}x{}, {} classes", name, d.train.size(),
                    d.test.size(), d.channels(), d.height(), d.width(), d.classes()),
        14, kInk);
    for (int64_t c = 0; c < classes_; ++c)
      canvas_->text(kLeft - 8, row(c) + cell_h_ / 2 + 4, d.class_names[static_cast<size_t>(c)], 12, kInk,
                    Anchor::end);
    for (size_t k = 0; k < panels.size(); ++k) {
      const double x = kLeft + panel_w * static_cast<double>(k);
      canvas_->text(x, kTop - 8, panels[k].title, 12, kMuted);
      if (k == 0 || panels[k].normalization || panels[k].augmentation) images(x, panels[k]);
    }
  }
  std::string png() { return canvas_->finish(); }

 private:
  static constexpr double kLeft = 130, kTop = 62;
  double row(int64_t c) const { return kTop + cell_h_ * static_cast<double>(c); }

  void images(double x, const Panel& panel) {
    const int64_t size = data_.channels() * data_.height() * data_.width();
    std::vector<std::vector<int64_t>> of_class;
    std::vector<int64_t> all;
    for (int64_t c = 0; c < classes_; ++c) {
      of_class.push_back(first_of_class(data_.train, c, kImages));
      all.insert(all.end(), of_class.back().begin(), of_class.back().end());
    }
    std::vector<uint8_t> shown(all.size() * static_cast<size_t>(size));
    if (panel.normalization)
      shown = shades(normalized_images(data_.train, all, *panel.normalization));
    else if (panel.augmentation)
      shown = augmented(subset(data_.train, all), *panel.augmentation);
    else
      for (size_t i = 0; i < all.size(); ++i)
        data_.train.read(all[i], shown.data() + static_cast<int64_t>(i) * size);
    const uint8_t* pixels = shown.data();
    for (int64_t c = 0; c < classes_; ++c) {
      const std::vector<int64_t>& rows = of_class[static_cast<size_t>(c)];
      for (size_t i = 0; i < rows.size(); ++i, pixels += size) {
        canvas_->image(x + cell_w_ * static_cast<double>(i), row(c), data_.height(), data_.width(),
                       data_.channels(), pixels, zoom_);
      }
    }
  }

  const Dataset& data_;
  int64_t classes_;
  int zoom_;
  double cell_w_, cell_h_;
  std::unique_ptr<Canvas> canvas_;
};

class DataPreview : public DataVerb {
 public:
  DataPreview() : DataVerb("preview", "a picture of its images, as they are and as networks see them") {
    use("--out", "the PNG to write (default preview.png)");
    use("--overwrite", "replace it");
    use("--augment", "show them as a training with this would: " + augmentation_usage());
    use("--crop-padding");
    use("--image-size");
    use("--skip-bad");
    flag("--no-whiten", no_whiten_, "leave the whitened images out: half a minute for cifar10");
    example("data preview cifar10 --augment flip+crop+jitter --no-whiten",
            "what a training with these augmentations sees");
  }

  int run(const Options& o) override {
    const std::string name = name_of(o), target = o.out.empty() ? "preview.png" : o.out;
    std::error_code ignored;
    if (std::filesystem::exists(target, ignored) && !o.overwrite)
      fail(ErrorKind::usage, "--out", "{} exists; use --overwrite or another name", target);
    if (!o.quiet) note(fmt::format("{}: reading", name));
    DatasetOptions wanted = dataset_options(o);
    wanted.without_test = WithoutTest::accept;
    const Dataset data = load_data(name, wanted, o);
    std::vector<Panel> panels{{"raw", {}}};
    if (o.augment == "none")
      panels = panels_of(data, !no_whiten_, o.quiet);
    else
      panels.push_back({o.augment, {}, augmentation_for(o)});
    Sheet sheet(data, name, panels);
    write_file_atomic(target, sheet.png());
    if (o.json)
      print_json({{"preview", target}});
    else
      print(target);
    return 0;
  }

 private:
  bool no_whiten_ = false;
};

const RegisterVerb<DataPreview> register_data_preview(83);

}  // namespace
}  // namespace sigma::app
