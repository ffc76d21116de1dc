// `sigma eval` and `sigma predict`: a checkpoint at work.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "apps/report/plot.h"
#include "apps/run/run_folder.h"
#include "apps/training/checkpoint.h"
#include "apps/verbs/verbs.h"
#include "core/math.h"

namespace sigma::app {
namespace {

SavedModel load(const Options& o) {
  if (o.checkpoint.empty())
    fail(ErrorKind::usage, "--checkpoint", "expected the path of a .safetensors checkpoint");
  return model_from(load_checkpoint(o.checkpoint), o.checkpoint);
}

}  // namespace

int run_eval(const Options& o) {
  SavedModel m = load(o);
  apply_threads(o);
  Dataset data = dataset_for(m, o, 1);  // no training images are needed
  const std::string& name = data.name;
  EvalResult e = evaluate(*m.model, data.test, m.normalization, data.classes());
  if (!o.quiet) {
    std::puts(fmt::format("{} on {}: accuracy {:.2f}%, loss {:.4f}, {} images; normalize {}", m.name, name,
                          100 * e.accuracy, e.loss, e.count, describe(m.normalization))
                  .c_str());
    size_t wide = 9;
    for (auto& c : m.class_names) wide = std::max(wide, c.size());
    if (m.class_names.size() <= 20) {
      std::puts("confusion matrix, rows are true classes:");
      for (size_t i = 0; i < e.confusion.size(); ++i) {
        std::string line = fmt::format("{:>{}}", m.class_names[i], wide);
        for (int64_t k : e.confusion[i]) line += fmt::format(" {:>5}", k);
        std::puts(line.c_str());
      }
    }
  }
  if (!o.out.empty()) {
    std::error_code error;
    std::filesystem::create_directories(o.out, error);
    if (error) fail(ErrorKind::io, o.out, "cannot create the folder: {}", error.message());
    write_file_atomic(
        (std::filesystem::path(o.out) / "confusion.png").string(),
        to_png(Matrix{"Test images by class", "predicted", "true", m.class_names, e.confusion}));
  }
  if (o.json) {
    Json j{{"test_accuracy", e.accuracy},
           {"test_loss", e.loss},
           {"images", e.count},
           {"confusion", e.confusion}};
    std::puts(j.dump().c_str());
  }
  return 0;
}

int run_predict(const Options& o, const std::vector<std::string>& images) {
  if (images.empty()) fail(ErrorKind::usage, "predict", "expected at least one image file");
  SavedModel m = load(o);
  std::vector<Image> decoded;  // all are read before anything is printed
  for (const std::string& path : images) {
    Image image = to_channels(read_image(path), m.input.channels);
    if (image.height != m.input.height || image.width != m.input.width)
      fail(ErrorKind::data, path, "{}x{} pixels, the checkpoint expects {}x{}", image.width, image.height,
           m.input.width, m.input.height);
    decoded.push_back(std::move(image));
  }
  Json all = Json::array();
  NoGrad off;
  for (size_t i = 0; i < images.size(); ++i) {
    Tensor pixels = Tensor::empty(m.input.shape(1), DType::uint8, Layout::channels_last);
    std::copy(decoded[i].pixels.begin(), decoded[i].pixels.end(), pixels.mutable_data<uint8_t>());
    Variable x(normalized_images(pixels, {0}, m.normalization));
    std::vector<double> z = (*m.model)(x).value().to_vector();
    double top = *std::max_element(z.begin(), z.end()), sum = 0;
    for (double& v : z) sum += v = std::exp(v - top);
    std::vector<size_t> order(z.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return z[a] > z[b]; });
    std::string line = images[i] + ":";
    Json top_classes = Json::array();
    for (size_t k = 0; k < std::min<size_t>(3, order.size()); ++k) {
      line += fmt::format("{} {} {:.1f}%", k ? "," : "", m.class_names[order[k]], 100 * z[order[k]] / sum);
      top_classes.push_back({{"class", m.class_names[order[k]]}, {"probability", z[order[k]] / sum}});
    }
    all.push_back({{"image", images[i]}, {"top", top_classes}});
    if (!o.quiet) std::puts(line.c_str());
  }
  if (o.json) std::puts(Json{{"predictions", all}}.dump().c_str());
  return 0;
}

}  // namespace sigma::app
