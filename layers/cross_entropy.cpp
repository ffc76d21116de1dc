#include "layers/cross_entropy.h"

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/precision.h"
#include "layers/checks.h"

#include <cmath>

namespace sigma {

Variable cross_entropy(const Variable& given, const Tensor& targets, const CrossEntropyOptions& o) {
  const char* tag = "cross_entropy";
  const Variable logits = given.dtype() == DType::bfloat16 ? cast(given, DType::float32) : given;
  SIGMA_CHECK(logits.rank() == 2, tag, "expected logits (N, C), got {}", logits.shape().str());
  int64_t n = logits.dim(0), classes = logits.dim(1);
  SIGMA_CHECK(targets.dtype() == DType::int64 && targets.rank() == 1 && targets.dim(0) == n, tag,
              "expected {} int64 class indices, got {} {}", n, name_of(targets.dtype()),
              targets.shape().str());
  SIGMA_CHECK(n > 0 && classes > 0, tag, "expected at least one row and one class, got {}",
              logits.shape().str());
  SIGMA_CHECK(o.label_smoothing >= 0 && o.label_smoothing <= 1, tag,
              "expected label_smoothing from 0 to 1, got {}", o.label_smoothing);
  SIGMA_CHECK(o.weight.empty() || static_cast<int64_t>(o.weight.size()) == classes, tag,
              "expected {} class weights, got {}", classes, o.weight.size());
  const int64_t* y = targets.data<int64_t>();
  for (int64_t i = 0; i < n; ++i)
    SIGMA_CHECK(y[i] >= 0 && y[i] < classes, tag, "expected class indices 0 to {}, got {} in row {}",
                classes - 1, y[i], i);

  std::vector<double> w =
      o.weight.empty() ? std::vector<double>(static_cast<size_t>(classes), 1.0) : o.weight;
  double weight_sum = 0, weight_total = 0, loss = 0;
  for (double v : w) weight_total += v;
  Tensor probabilities = Tensor::empty(logits.shape(), logits.dtype()), x = logits.value().contiguous();
  double smooth = o.label_smoothing / static_cast<double>(classes);
  dispatch_floating(logits.dtype(), tag, [&](auto zero) {
    using T = decltype(zero);
    const T* row = x.data<T>();
    T* p = probabilities.mutable_data<T>();
    for (int64_t i = 0; i < n; ++i, row += classes, p += classes) {
      double top = static_cast<double>(row[0]), sum = 0;
      for (int64_t c = 1; c < classes; ++c)
        if (double v = static_cast<double>(row[c]); v > top || v != v) top = v;
      for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]) - top);
      double log_sum = top + std::log(sum), wy = w[static_cast<size_t>(y[i])];
      loss += (1 - o.label_smoothing) * wy * (log_sum - static_cast<double>(row[y[i]]));
      if (smooth > 0)
        for (int64_t c = 0; c < classes; ++c)
          loss += smooth * w[static_cast<size_t>(c)] * (log_sum - static_cast<double>(row[c]));
      weight_sum += wy;
      for (int64_t c = 0; c < classes; ++c)
        p[c] = static_cast<T>(std::exp(static_cast<double>(row[c]) - log_sum));
    }
  });
  double divide = o.reduction == Reduction::mean ? weight_sum : 1;
  return record(
      tag, Tensor::full({}, loss / divide, logits.dtype()), {logits},
      once_differentiable([=, saved = SavedTensor(probabilities), labels = SavedTensor(targets),
                           e = o.label_smoothing](const std::vector<Tensor>& g,
                                                  const Node& self) -> std::vector<Tensor> {
        const Tensor& prob = saved.get(self);
        const int64_t* t = labels.get(self).data<int64_t>();
        Tensor dx = Tensor::empty(prob.shape(), prob.dtype());
        double scale = g[0].item() / divide;
        dispatch_floating(prob.dtype(), "cross_entropy", [&](auto zero) {
          using T = decltype(zero);
          const T* p = prob.data<T>();
          T* d = dx.mutable_data<T>();
          for (int64_t i = 0; i < n; ++i) {
            double wy = w[static_cast<size_t>(t[i])];
            double pull = (1 - e) * wy + smooth * weight_total;  // what the probabilities are weighed with
            for (int64_t c = 0; c < classes; ++c) {
              double v = pull * static_cast<double>(p[i * classes + c]) - smooth * w[static_cast<size_t>(c)];
              if (c == t[i]) v -= (1 - e) * wy;
              d[i * classes + c] = static_cast<T>(v * scale);
            }
          }
        });
        return {dx};
      }));
}

Variable mse_loss(const Variable& given, const Variable& target, Reduction reduction) {
  auto wide = [](const Variable& v) { return cast(v, compute_dtype(v.dtype())); };
  const Variable x = wide(given), y = wide(target);
  SIGMA_CHECK(x.shape() == y.shape(), "mse_loss", "expected equal shapes, got {} and {}", x.shape().str(),
              y.shape().str());
  SIGMA_CHECK(x.numel() > 0, "mse_loss", "expected at least one element, got {}", x.shape().str());
  Variable d = sub(x, y), squares = mul(d, d);
  return reduction == Reduction::mean ? mean(squares) : sum(squares);
}

namespace {

// A loss of logits (5, 4) and, for losses of two such, others.
LayerExample loss_example(const char* what, const std::function<Variable(const Variables&)>& loss,
                          bool both) {
  return {.what = what, .check = [=] {
            Variables inputs{Variable(smooth_input({5, 4}, 8), true)};
            if (both) inputs.emplace_back(smooth_input({5, 4}, 9), true);
            return gradcheck(loss, inputs);
          }};
}

}  // namespace

std::vector<LayerExample> CrossEntropyLoss::examples() {
  const Tensor targets = Tensor::from<int64_t>({0, 3, 1, 1, 2}, {5});
  auto with = [&](const char* what, const CrossEntropyOptions& o) {
    return loss_example(
        what, [targets, o](const Variables& v) { return cross_entropy(v[0], targets, o); }, false);
  };
  return {with("mean", {}), with("sum", {.reduction = Reduction::sum}),
          with("label smoothing 0.1", {.label_smoothing = 0.1}),
          with("class weights, label smoothing 0.2", {.label_smoothing = 0.2, .weight = {0.5, 1, 2, 0.25}})};
}

std::vector<LayerExample> MSELoss::examples() {
  auto with = [](const char* what, Reduction r) {
    return loss_example(
        what, [r](const Variables& v) { return mse_loss(v[0], v[1], r); }, true);
  };
  return {with("mean", Reduction::mean), with("sum", Reduction::sum)};
}

}  // namespace sigma
