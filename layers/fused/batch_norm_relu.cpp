#include <limits>

#include "layers/batch_norm_call.h"
#include "layers/fused/functions.h"

namespace sigma::fused {
namespace {

Tensor value_of(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

// What backward needs.
struct Saved {
  Tensor statistics;  // mean and 1/sqrt(v + eps), float64 (2, C)
  bool training;
  SavedTensor x, weight;
  SavedTensor bias;  // for the mask, which is computed again from x,
  SavedTensor y;     // unless a skip was added: then it is the result's
};

// dx, dweight, dbias, and with a skip its gradient: the masked g.
template <class X>
void backward(const Saved& saved, const Node& self, const Tensor& dy, bool own, Tensor (&d)[4]) {
  using T = Compute<X>;
  const Tensor& x = saved.x.get(self);
  const Tensor& weight = saved.weight.get(self);
  const Tensor& y = saved.y.get(self);
  const Rows in = to_rows(x), g = to_rows(dy);
  const NormConstants<T> xhat(saved.statistics, {}, {}),
      output(saved.statistics, weight, saved.bias.get(self));
  const kernels::NormAffine<T> affine = output.view();
  kernels::NormMask<X> mask;
  const X* grad = g.data.data<X>();
  X* masked = nullptr;
  if (y.defined()) {
    mask.y = y.data<X>();
    d[3] = rows_like(x);
    masked = d[3].mutable_data<X>();
  } else {
    mask.affine = &affine;
  }
  NormSums sums(in.channels);
  if (in.rows > 0)
    kernels::norm_backward_reduce(grad, in.data.data<X>(), in.rows, in.channels,
                                  saved.statistics.data<double>(), mask, masked, sums.g.data(),
                                  sums.g_xhat.data());
  for (size_t c = 0; c < sums.g.size(); ++c)
    sums.g_xhat[c] *= saved.statistics.data<double>()[sums.g.size() + c];
  d[1] = sums.dweight(compute_dtype(x.dtype()));
  d[2] = sums.dbias(compute_dtype(x.dtype()));
  if (!self.needs(0)) return;
  if (masked) {
    grad = masked;
    mask.y = nullptr;
  }
  const double rows = saved.training ? static_cast<double>(in.rows) : std::numeric_limits<double>::infinity();
  const NormBackward<T> c(sums, saved.statistics, weight, rows);
  // A gradient that nobody else sees is overwritten: it is as large as the activations.
  const bool mine = !masked && (own || !g.data.shares_storage(dy));
  Tensor dx = mine ? g.data : rows_like(x);
  kernels::norm_backward_apply(grad, in.data.data<X>(), in.rows, in.channels, xhat.view(), mask, c.a.data(),
                               c.b.data(), c.k.data(), dx.mutable_data<X>());
  d[0] = from_rows(dx, x.rank());
}

}  // namespace

Variable batch_norm_given(const Variable& x, const Tensor& moments, const BatchNormArguments& a) {
  check_batch_norm(x, a);
  const Rows rows = to_rows(x.value());
  return normalize(x, rows, batch_norm_statistics(rows, a, moments), a);
}

Variable batch_norm_relu(const Variable& x, const Variable& skip, const Tensor& moments,
                         const BatchNormArguments& a) {
  check_batch_norm(x, a);
  const bool has_skip = skip.defined();
  if (has_skip)
    SIGMA_CHECK(skip.shape() == x.shape() && skip.dtype() == x.dtype() && x.rank() != 3, "batch_norm_relu",
                "expected a skip of {} {}, got {} {}", name_of(x.dtype()), x.shape().str(),
                name_of(skip.dtype()), skip.shape().str());
  const Rows in = to_rows(x.value()), added = has_skip ? to_rows(skip.value()) : Rows{};
  const Tensor statistics = batch_norm_statistics(in, a, moments);
  Tensor y = rows_like(x.value());
  if (in.rows > 0)
    dispatch_stored(x.dtype(), "batch_norm", [&](auto zero) {
      using X = decltype(zero);
      const NormConstants<Compute<X>> c(statistics, value_of(a.weight), value_of(a.bias));
      kernels::norm_apply(in.data.data<X>(), in.rows, in.channels, c.view(),
                          has_skip ? added.data.data<X>() : nullptr, true, y.mutable_data<X>());
    });
  y = from_rows(y, x.rank());
  Saved saved{statistics,
              a.training,
              SavedTensor(x.rank() == 4 ? in.data : x.value()),
              SavedTensor(value_of(a.weight)),
              SavedTensor(value_of(a.bias)),
              has_skip ? SavedTensor(y) : SavedTensor()};
  Variables inputs{x, a.weight, a.bias};
  if (has_skip) inputs.push_back(skip);
  return record("batch_norm", y, inputs, [saved](const Variables& g, const Node& self) -> Variables {
    SIGMA_CHECK(!grad_enabled(), "relu",
                "this function can be differentiated once only; its backward pass is not recorded");
    const bool own = g[0].handle().use_count() == 1 && g[0].value().is_sole_owner();
    Tensor d[4];
    dispatch_stored(g[0].dtype(), "batch_norm",
                    [&](auto zero) { backward<decltype(zero)>(saved, self, g[0].value(), own, d); });
    Variables result(self.inputs.size());
    for (size_t i = 0; i < result.size(); ++i)
      if (self.needs(i) && d[i].defined()) result[i] = Variable(d[i]);
    return result;
  });
}

}  // namespace sigma::fused
