// What a network says of each image, and the mistakes that it is most certain of.
#pragma once

#include <cstdint>
#include <vector>

#include "training/evaluate.h"

namespace sigma {

struct Prediction {
  int64_t row = 0;  // of the split
  int64_t truth = 0, guess = 0;
  double probability = 0, truth_probability = 0;  // of the guess and of the true class, by softmax

  bool correct() const { return truth == guess; }
};

// Of logits (classes), in float64; sums to 1.
std::vector<double> softmax_of(const double* logits, int64_t classes);

// Of each image of a batch, in its order. For EvalOptions::on_batch.
std::vector<Prediction> predictions_of(const EvalBatch& batch);

// The wrong ones with the largest probability, at most `count`, the most certain first; of equals the first
// row.
std::vector<Prediction> most_certain_mistakes(const std::vector<Prediction>& predictions, size_t count);

// Pairs of classes that are taken for each other: `images` of class `truth` are said to be `guess`.
struct Confusion {
  int64_t truth = 0, guess = 0, images = 0;
  double share = 0;  // of the images of the true class
};
// The most frequent, at most `count`, from EvalResult::confusion; of equals the larger share, then the first.
std::vector<Confusion> most_frequent_confusions(const std::vector<std::vector<int64_t>>& confusion,
                                                size_t count);

}  // namespace sigma
