// `sigma predict`: the classes of image files, by a checkpoint.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/verbs/saved_model.h"
#include "data/formats/image.h"

namespace sigma::app {
namespace {

// Class numbers from the most to the least probable, and all probabilities.
struct Guess {
  std::vector<size_t> order;
  std::vector<double> probability;
};

Guess guess(const SavedModel& m, const Tensor& pixels) {
  NoGrad off;
  Guess g;
  g.probability = (*m.model)(Variable(normalized_images(pixels, {0}, m.normalization))).value().to_vector();
  const std::vector<double> logits = g.probability;
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double& v : g.probability) sum += v = std::exp(v - top);
  for (double& v : g.probability) v /= sum;
  g.order.resize(logits.size());
  std::iota(g.order.begin(), g.order.end(), 0);
  std::stable_sort(g.order.begin(), g.order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  return g;
}

class Predict : public Verb {
 public:
  Predict() : Verb("predict", "top classes of image files") {
    use("--checkpoint", "", kRequired);
    words("images", images_, "PNG or JPEG files", true);
    example("predict --checkpoint runs/train/weights/best.safetensors digit.png",
            "the most likely classes of a picture");
  }

  int run(const Options& o) override {
    const SavedModel m = model_of(o);
    std::vector<Tensor> decoded;  // all are read before anything is printed
    for (const std::string& path : images_) decoded.push_back(image_for(m, read_image(path), path));
    Json all = Json::array();
    for (size_t i = 0; i < images_.size(); ++i) {
      const Guess g = guess(m, decoded[i]);
      std::string line = images_[i] + ":";
      Json top = Json::array();
      for (size_t k = 0; k < std::min<size_t>(3, g.order.size()); ++k) {
        const std::string& name = m.class_names[g.order[k]];
        const double p = g.probability[g.order[k]];
        line += fmt::format("{} {} {:.1f}%", k ? "," : "", name, 100 * p);
        top.push_back({{"class", name}, {"probability", p}});
      }
      all.push_back({{"image", images_[i]}, {"top", top}});
      if (!o.quiet) print(line);
    }
    if (o.json) print_json({{"predictions", all}});
    return 0;
  }

 private:
  std::vector<std::string> images_;
};

const RegisterVerb<Predict> register_predict(50);

}  // namespace
}  // namespace sigma::app
