#include "layers/batch_norm_second.h"

#include "core/math.h"

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

}  // namespace sigma
