// Exponential moving average of a network's weights and buffers, as PyTorch's
// torch.optim.swa_utils.AveragedModel(use_buffers=True) with get_ema_multi_avg_fn(decay):
//
//   the first update:  average = value;   those after:  average += (1 - decay) (value - average)
//
// Polyak and Juditsky 1992. A value that has not moved keeps every bit. Whole numbers (num_batches_tracked)
// are the network's own: PyTorch averages them and cuts off the fraction, so that a count stands still for
// 1 / (1 - decay) steps.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "core/kernels/update.h"

namespace sigma {

class Ema {
 public:
  // Parameters and buffers, which the average begins with.
  Ema(std::vector<Variable> values, double decay) : values_(std::move(values)), decay_(decay) {
    SIGMA_CHECK(decay >= 0 && decay < 1, "ema", "expected a decay of 0 to less than 1, got {}", decay);
    restart();
  }

  // After each step of the optimizer.
  void update() {
    const bool first = updates_++ == 0;
    for (size_t i = 0; i < values_.size(); ++i) {
      const Tensor& now = values_[i].value();
      if (first || !is_floating(now.dtype()) || now.dtype() == DType::bfloat16)
        averages_[i].copy_(now);
      else if (now.dtype() == DType::float32)
        move<float>(now, averages_[i]);
      else
        move<double>(now, averages_[i]);
    }
  }

  // The network gets the averages, and this keeps what it had; the next call puts both back.
  void swap() {
    for (size_t i = 0; i < values_.size(); ++i) std::swap(values_[i].mutable_value(), averages_[i]);
  }
  // The average becomes what the network has now, as after so many updates.
  void restart(int64_t updates = 0) {
    averages_.clear();
    for (const Variable& v : values_) averages_.push_back(v.value().clone());
    updates_ = updates;
  }
  // Of the parameter or buffer that holds this tensor.
  const Tensor& average_of(const Tensor& value) const {
    for (size_t i = 0; i < values_.size(); ++i)
      if (values_[i].value().shares_storage(value)) return averages_[i];
    throw_check("ema", "expected a parameter or buffer of the network that is averaged");
  }
  int64_t updates() const { return updates_; }

 private:
  template <class T>
  struct Pair {
    int64_t n;
    const T* value;
    T* average;
  };
  template <class T>
  void move(const Tensor& now, Tensor& average) const {
    const Pair<T> pair{now.numel(), now.data<T>(), average.mutable_data<T>()};
    const T share = static_cast<T>(1 - decay_);
    kernels::for_each_range(&pair, 1, [share](const Pair<T>& p, int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const T a = p.average[k], v = p.value[k];
        // torch.lerp's two forms: each is exact at its end.
        const T next = share < T(0.5) ? a + share * (v - a) : v - (1 - share) * (v - a);
        p.average[k] = a == v ? v : next;
      }
    });
  }

  std::vector<Variable> values_;
  double decay_;
  std::vector<Tensor> averages_;
  int64_t updates_ = 0;
};

}  // namespace sigma
