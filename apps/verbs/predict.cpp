// `sigma predict`: the top classes of image files.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/verbs/saved_model.h"
#include "apps/verbs/verbs.h"

namespace sigma::app {

int run_predict(const Options& o, const std::vector<std::string>& images) {
  if (images.empty()) fail(ErrorKind::usage, "predict", "expected at least one image file");
  SavedModel m = model_of(o);
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
