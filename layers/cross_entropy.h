// Losses.
//
// CrossEntropyLoss on logits x (N, C) and class indices y (N), with p = softmax(x) and class weights w:
//
//   l_n   = -log p[n, y_n]
//   mean    sum_n w[y_n] l_n / sum_n w[y_n];   sum: not divided
//   label smoothing e:   (1 - e) w[y_n] l_n + e / C sum_c w_c (-log p[n, c]), divided alike
//
// The log-sum-exp is shifted by the maximum. Labels are checked before anything is read through them. Saved:
// the softmax.
#pragma once

#include <vector>

#include "autograd/ops.h"
#include "layers/table.h"

namespace sigma {

enum class Reduction { mean, sum };

struct CrossEntropyOptions {
  double label_smoothing = 0;  // 0..1
  std::vector<double> weight;  // of each class; empty: 1
  Reduction reduction = Reduction::mean;
};
Variable cross_entropy(const Variable& logits, const Tensor& targets,
                       const CrossEntropyOptions& options = {});

// mean (or sum) of (x - y)^2 over all elements; shapes must be equal.
Variable mse_loss(const Variable& x, const Variable& y, Reduction reduction = Reduction::mean);

// Loss objects, for symmetry with PyTorch: they hold options and call the functions.
class CrossEntropyLoss {
 public:
  static std::vector<LayerExample> examples();
  explicit CrossEntropyLoss(CrossEntropyOptions options = {}) : options_(std::move(options)) {}
  Variable operator()(const Variable& logits, const Tensor& targets) const {
    return cross_entropy(logits, targets, options_);
  }

 private:
  CrossEntropyOptions options_;
};
SIGMA_LAYER(CrossEntropyLoss);

class MSELoss {
 public:
  static std::vector<LayerExample> examples();
  explicit MSELoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Variable operator()(const Variable& x, const Variable& y) const { return mse_loss(x, y, reduction_); }

 private:
  Reduction reduction_;
};
SIGMA_LAYER(MSELoss);

}  // namespace sigma
