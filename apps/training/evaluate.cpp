#include "training/evaluate.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "layers/cross_entropy.h"

namespace sigma {
namespace {

// Whether `a` comes before `b` among the largest: NaN first, as argmax has it.
bool is_larger(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  return a > b;
}

std::vector<int64_t> spread_rows(int64_t begin, int64_t count, int64_t total, int64_t size) {
  std::vector<int64_t> rows;
  for (int64_t i = begin; i < begin + count; ++i) rows.push_back(i * size / total);
  return rows;
}

}  // namespace

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  Tensor guess = argmax(logits, 1);
  int64_t correct = 0;
  for (int64_t i = 0; i < labels.numel(); ++i)
    correct += guess.data<int64_t>()[i] == labels.data<int64_t>()[i];
  return correct;
}

int64_t count_top_k(const Tensor& logits, const Tensor& labels, int64_t k) {
  SIGMA_CHECK(logits.rank() == 2 && labels.rank() == 1 && logits.dim(0) == labels.dim(0), "count_top_k",
              "expected logits (N, classes) and labels (N), got {} and {}", logits.shape().str(),
              labels.shape().str());
  SIGMA_CHECK(k >= 1, "count_top_k", "expected k of at least 1, got {}", k);
  const int64_t classes = logits.dim(1);
  const Tensor values = logits.to(DType::float64).contiguous();
  int64_t found = 0;
  for (int64_t i = 0; i < labels.numel(); ++i) {
    const double* row = values.data<double>() + i * classes;
    const int64_t label = labels.data<int64_t>()[i];
    SIGMA_CHECK(label >= 0 && label < classes, "count_top_k", "expected labels 0 to {}, got {}", classes - 1,
                label);
    int64_t before = 0;
    for (int64_t c = 0; c < classes; ++c)
      before += is_larger(row[c], row[label]) || (c < label && !is_larger(row[label], row[c]));
    found += before < k;
  }
  return found;
}

EvalResult evaluate(Module& model, const Split& split, const Normalization& normalization, int64_t classes,
                    const EvalOptions& options) {
  SIGMA_CHECK(options.batch >= 1 && options.limit >= 0 && options.top_k >= 1, "evaluate",
              "expected batches and k of at least 1 and a limit of at least 0, got {}, {} and {}",
              options.batch, options.top_k, options.limit);
  NoGrad off;
  model.eval();
  const int64_t n = options.limit > 0 ? std::min(options.limit, split.size()) : split.size();
  EvalResult result;
  result.confusion.assign(static_cast<size_t>(classes),
                          std::vector<int64_t>(static_cast<size_t>(classes), 0));
  int64_t correct = 0, top = 0;
  for (int64_t at = 0; at < n; at += options.batch) {
    if (options.stop && options.stop()) {
      result.stopped = true;
      break;
    }
    const int64_t count = std::min(options.batch, n - at);
    // A limited look is spread over the whole set.
    const std::vector<int64_t> rows = spread_rows(at, count, n, split.size());
    Variable logits = model(Variable(normalized_images(split, rows, normalization)));
    SIGMA_CHECK(logits.rank() == 2 && logits.dim(1) == classes, "evaluate",
                "expected logits of {} classes, got {}", classes, logits.shape().str());
    Tensor labels = index_rows(split.labels, rows), guess = argmax(logits.value(), 1);
    result.loss += cross_entropy(logits, labels, {.reduction = Reduction::sum}).item();
    top += classes <= options.top_k ? count : count_top_k(logits.value(), labels, options.top_k);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t truth = labels.data<int64_t>()[i], g = guess.data<int64_t>()[i];
      ++result.confusion[static_cast<size_t>(truth)][static_cast<size_t>(g)];
      correct += truth == g;
    }
    result.count += count;
    if (options.on_batch) options.on_batch({rows, logits.value(), labels, guess});
  }
  const double seen = static_cast<double>(std::max<int64_t>(1, result.count));
  result.loss /= seen;
  result.accuracy = static_cast<double>(correct) / seen;
  result.top_k_accuracy = static_cast<double>(top) / seen;
  return result;
}

std::vector<ClassMetrics> class_metrics(const std::vector<std::vector<int64_t>>& confusion) {
  std::vector<ClassMetrics> all(confusion.size());
  auto ratio = [](int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  };
  for (size_t c = 0; c < confusion.size(); ++c) {
    ClassMetrics& m = all[c];
    for (size_t t = 0; t < confusion.size(); ++t) {
      m.predicted += confusion[t].at(c);
      m.count += confusion[c].at(t);
    }
    const int64_t hits = confusion[c][c];
    m.precision = ratio(hits, m.predicted);
    m.recall = ratio(hits, m.count);
    m.f1 = ratio(2 * hits, m.predicted + m.count);
  }
  return all;
}

namespace {

template <class Weight>
MeanMetrics mean(const std::vector<ClassMetrics>& classes, Weight weight) {
  MeanMetrics m;
  double sum = 0;
  for (const ClassMetrics& c : classes) {
    const double w = weight(c);
    sum += w;
    m.precision += w * c.precision;
    m.recall += w * c.recall;
    m.f1 += w * c.f1;
  }
  if (sum > 0) m = {m.precision / sum, m.recall / sum, m.f1 / sum};
  return m;
}

}  // namespace

MeanMetrics macro_mean(const std::vector<ClassMetrics>& classes) {
  return mean(classes, [](const ClassMetrics& c) { return c.count + c.predicted > 0 ? 1.0 : 0.0; });
}

MeanMetrics weighted_mean(const std::vector<ClassMetrics>& classes) {
  return mean(classes, [](const ClassMetrics& c) { return static_cast<double>(c.count); });
}

}  // namespace sigma
