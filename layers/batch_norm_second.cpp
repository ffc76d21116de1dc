#include "layers/batch_norm_second.h"

#include "core/math.h"
#include "layers/batch_norm_call.h"

namespace sigma {

BatchNormSecond batch_norm_second(bool training, const Tensor& dy, const Tensor& x, const Tensor& mean,
                                  const Tensor& s, const Tensor& gamma, const Tensor& ggx, const Tensor& ggw,
                                  const Tensor& ggb) {
  double m = static_cast<double>(x.dim(0));
  auto total = [](const Tensor& t) { return sum(t, {0}, true); };
  Tensor xmu = sub(x, mean);
  BatchNormSecond r;
  if (!training) {
    r.g_input = mul(mul(ggw, s), dy);
    r.g_weight = total(mul(mul(ggx, dy), s));
    r.g_output = add(mul(mul(ggx, s), gamma), add(mul(mul(ggw, xmu), s), ggb));
    return r;
  }
  Tensor s2 = mul(s, s), s3 = mul(s2, s), sum_gg = total(ggx), sum_g = total(dy);
  Tensor sum_g_xmu = total(mul(dy, xmu)), sum_gg_xmu = total(mul(ggx, xmu));
  // dx with gamma = 1 of an upstream gradient u: s (u - mean u - xmu s^2 mean(u xmu)).
  auto first_order = [&](const Tensor& u, const Tensor& sum_u, const Tensor& sum_u_xmu) {
    return mul(s, sub(sub(u, scale(sum_u, 1 / m)), mul(mul(xmu, s2), scale(sum_u_xmu, 1 / m))));
  };
  Tensor inner = add(sub(scale(mul(sum_gg, sum_g), 1 / m), total(mul(dy, ggx))),
                     scale(mul(s2, mul(sum_g_xmu, sum_gg_xmu)), 3 / m));
  Tensor t1 = scale(mul(mul(xmu, s3), inner), 1 / m);
  Tensor t2 = scale(mul(mul(sum_gg_xmu, s3), sub(scale(sum_g, 1 / m), dy)), 1 / m);
  Tensor t3 = scale(mul(mul(sum_g_xmu, s3), sub(scale(sum_gg, 1 / m), ggx)), 1 / m);
  r.g_input = add(mul(gamma, add(t1, add(t2, t3))), mul(ggw, first_order(dy, sum_g, sum_g_xmu)));
  r.g_weight = total(mul(ggx, first_order(dy, sum_g, sum_g_xmu)));
  r.g_output = add(mul(gamma, first_order(ggx, sum_gg, sum_gg_xmu)), add(mul(ggw, mul(xmu, s)), ggb));
  return r;
}

namespace {

// Rows as a matrix: those of a channels_last image are in the order of its storage.
Tensor matrix(const Tensor& x) {
  const Rows r = to_rows(x);
  Tensor t = r.data.layout() == Layout::contiguous ? Tensor(r.data) : permute(r.data, {0, 2, 3, 1});
  return t.reshape({r.rows, r.channels});
}

// The inverse: in the shape of `like`.
Tensor from_matrix(const Tensor& t, const Tensor& like) {
  if (like.rank() == 4)
    return permute(t.reshape({like.dim(0), like.dim(2), like.dim(3), like.dim(1)}), {0, 3, 1, 2});
  if (like.rank() == 3) return permute(t.reshape({like.dim(0), like.dim(2), like.dim(1)}), {0, 2, 1});
  return t.reshape(like.shape());
}

}  // namespace

Variables record_batch_norm_backward(const Variable& dy, const Variable& x, const Variable& weight,
                                     const Tensor& statistics, bool training, std::vector<Tensor> gradients) {
  const DType dtype = x.dtype();
  SIGMA_CHECK(dtype == compute_dtype(dtype), "batch_norm",
              "in {} this function can be differentiated once only", name_of(dtype));
  if (!gradients[0].defined()) gradients[0] = Tensor::zeros(x.shape(), dtype);
  SavedTensor saved_g(dy.value()), saved_x(x.value()), saved_w(weight.defined() ? weight.value() : Tensor());
  auto second = [=](const std::vector<Tensor>& gg, const Node& self) -> std::vector<Tensor> {
    const Tensor& input = saved_x.get(self);
    const Tensor& w = saved_w.get(self);
    const Shape row{1, input.dim(1)};
    auto constants = [&](int64_t i) { return slice(statistics, 0, i, 1).to(dtype); };
    const Tensor gamma = w.defined() ? w.reshape(row) : Tensor::ones(row, dtype);
    const BatchNormSecond r =
        batch_norm_second(training, matrix(saved_g.get(self)), matrix(input), constants(0), constants(1),
                          gamma, matrix(gg[0]), gg[1].reshape(row), gg[2].reshape(row));
    return {from_matrix(r.g_output, input), from_matrix(r.g_input, input),
            w.defined() ? r.g_weight.reshape(w.shape()) : Tensor()};
  };
  return record_many("batch_norm_backward", std::move(gradients), {dy, x, weight},
                     once_differentiable(second));
}

}  // namespace sigma
