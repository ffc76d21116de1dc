// How good a network is on a part of a data set: loss, accuracy, top-k accuracy, confusion matrix.
#pragma once

#include <functional>
#include <vector>

#include "data/transforms/transforms.h"
#include "layers/module.h"

namespace sigma {

// Of logits (N, classes) and labels int64 (N), how many labels are the class with the largest logit; the
// first of equals.
int64_t count_correct(const Tensor& logits, const Tensor& labels);
// How many labels are among the k largest; of equal logits the first classes come first, and a NaN is
// largest.
int64_t count_top_k(const Tensor& logits, const Tensor& labels, int64_t k);

// A batch of images that was evaluated.
struct EvalBatch {
  const std::vector<int64_t>& rows;  // of the split
  const Tensor& logits;              // (N, classes)
  const Tensor &labels, &guesses;    // int64 (N)
};

struct EvalOptions {
  int64_t limit = 0;  // this many images, spread evenly over the split; 0: all
  int64_t batch = 250;
  int64_t top_k = 5;
  std::function<bool()> stop;                      // asked before each batch; true ends the evaluation
  std::function<void(const EvalBatch&)> on_batch;  // in the order of the rows
};

struct EvalResult {
  double loss = 0, accuracy = 0;  // means over `count` images; cross-entropy in nats
  double top_k_accuracy = 0;      // 1 when there are no more than k classes
  int64_t count = 0;
  bool stopped = false;                         // before all images were seen
  std::vector<std::vector<int64_t>> confusion;  // [true class][predicted class]
};

// In eval mode, in which the network is left. Throws kind usage when a label is none of `classes`.
EvalResult evaluate(Module& model, const Split& split, const Normalization& normalization, int64_t classes,
                    const EvalOptions& options = {});

// One class against the rest; 0 where there is nothing to divide by.
struct ClassMetrics {
  double precision = 0, recall = 0, f1 = 0;
  int64_t count = 0, predicted = 0;  // images of the class, and those said to be
};
std::vector<ClassMetrics> class_metrics(const std::vector<std::vector<int64_t>>& confusion);

// Means over the classes, as scikit-learn's "macro" and "weighted" averages are: each class that has images
// or is predicted counts alike, or by how many images it has.
struct MeanMetrics {
  double precision = 0, recall = 0, f1 = 0;
};
MeanMetrics macro_mean(const std::vector<ClassMetrics>& classes);
MeanMetrics weighted_mean(const std::vector<ClassMetrics>& classes);

}  // namespace sigma
