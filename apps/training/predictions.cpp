#include "training/predictions.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace sigma {

std::vector<double> softmax_of(const double* logits, int64_t classes) {
  std::vector<double> p(logits, logits + classes);
  const double top = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& v : p) sum += v = std::exp(v - top);
  for (double& v : p) v /= sum;
  return p;
}

std::vector<Prediction> predictions_of(const EvalBatch& batch) {
  const Tensor logits = batch.logits.to(DType::float64).contiguous();
  const int64_t classes = logits.dim(1);
  std::vector<Prediction> all;
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const std::vector<double> p =
        softmax_of(logits.data<double>() + static_cast<int64_t>(i) * classes, classes);
    Prediction one{batch.rows[i], batch.labels.data<int64_t>()[i], batch.guesses.data<int64_t>()[i], 0, 0};
    one.probability = p.at(static_cast<size_t>(one.guess));
    one.truth_probability = p.at(static_cast<size_t>(one.truth));
    all.push_back(one);
  }
  return all;
}

std::vector<Prediction> most_certain_mistakes(const std::vector<Prediction>& predictions, size_t count) {
  std::vector<Prediction> wrong;
  for (const Prediction& p : predictions)
    if (!p.correct()) wrong.push_back(p);
  const size_t n = std::min(count, wrong.size());
  std::partial_sort(wrong.begin(), wrong.begin() + static_cast<std::ptrdiff_t>(n), wrong.end(),
                    [](const Prediction& a, const Prediction& b) {
                      return std::tuple(-a.probability, a.row) < std::tuple(-b.probability, b.row);
                    });
  wrong.resize(n);
  return wrong;
}

std::vector<Confusion> most_frequent_confusions(const std::vector<std::vector<int64_t>>& confusion,
                                                size_t count) {
  std::vector<Confusion> all;
  for (size_t t = 0; t < confusion.size(); ++t) {
    int64_t images = 0;
    for (int64_t n : confusion[t]) images += n;
    for (size_t g = 0; g < confusion[t].size(); ++g)
      if (g != t && confusion[t][g] > 0)
        all.push_back({static_cast<int64_t>(t), static_cast<int64_t>(g), confusion[t][g],
                       static_cast<double>(confusion[t][g]) / static_cast<double>(images)});
  }
  std::stable_sort(all.begin(), all.end(), [](const Confusion& a, const Confusion& b) {
    return std::tuple(a.images, a.share) > std::tuple(b.images, b.share);
  });
  all.resize(std::min(count, all.size()));
  return all;
}

}  // namespace sigma
