#include "autograd/linalg.h"

#include <cmath>

#include "autograd/complex.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "core/math.h"

namespace sigma {
namespace {

Variable adjoint(const Variable& a) { return conj(transpose(a, -1, -2)); }
Variable skew(const Variable& a) { return sub(a, adjoint(a)); }
// A real Variable in the dtype of `like`.
Variable like_dtype(const Variable& a, DType dtype) {
  return is_complex(dtype) ? complex(a, Variable(Tensor::zeros_like(a.value()))) : a;
}
// (..., k) as rows (..., 1, k) or columns (..., k, 1).
Variable as_row(const Variable& s) {
  Shape shape;
  for (int i = 0; i < s.rank() - 1; ++i) shape.push_back(s.dim(i));
  shape.push_back(1);
  shape.push_back(s.dim(-1));
  return reshape(s, shape);
}
Variable as_column(const Variable& s) {
  Shape shape = s.shape();
  shape.push_back(1);
  return reshape(s, shape);
}
[[noreturn]] void ill_defined(int64_t j, int64_t k) {
  fail(ErrorKind::usage, "svd_backward",
       "singular values {} and {} are equal, and the loss depends on the choice of their singular vectors, "
       "so it has no gradient; use losses of products such as U Vh, or of the singular values",
       j, k);
}

// Largest |entry| of each matrix of gu and gvh, either of which may be undefined: what counts as a rounding
// error in the checks below, so that they do not depend on the scale of the loss.
std::vector<double> loss_sizes(const Variable& gu, const Variable& gvh, int64_t count) {
  std::vector<double> size(static_cast<size_t>(count), 0.0);
  for (const Variable& g : {gu, gvh}) {
    if (!g.defined() || count == 0) continue;
    std::vector<double> v = abs(g.value()).to_vector();
    const size_t each = v.size() / size.size();
    for (size_t i = 0; i < v.size(); ++i) size[i / each] = std::max(size[i / each], v[i]);
  }
  return size;
}

// 1 / largest singular value of each matrix (..., 1), or 1 where that is 0: squares of values so scaled
// neither overflow nor underflow.
Tensor inverse_largest(const Tensor& s) {
  const int64_t k = s.dim(-1);
  Shape shape = s.shape();
  shape[shape.rank() - 1] = 1;
  std::vector<double> v = s.to_vector(), out(static_cast<size_t>(shape.numel()), 1.0);
  for (size_t b = 0; b < out.size() && k; ++b)
    if (double top = v[b * static_cast<size_t>(k)]; top > 0) out[b] = 1 / top;
  return Tensor::from(out, shape).to(s.dtype());
}

// Reciprocals of E, and 0 where it vanishes. `numerator` is what is divided by it; `s` the singular values of
// each matrix beside its largest; `sizes` those of the loss's gradients.
Tensor reciprocal_gaps(const Tensor& s, const Tensor& numerator, const std::vector<double>& sizes) {
  const DType real_type = s.dtype();
  const int64_t k = s.dim(-1), count = k ? s.numel() / k : 0;
  const double eps = epsilon_of(real_type);
  std::vector<double> v = s.to_vector(), size = abs(numerator).to_vector();
  Shape shape = s.shape();
  shape.push_back(k);
  Tensor out = Tensor::zeros(shape, DType::float64);
  double* to = out.mutable_data<double>();
  for (int64_t b = 0; b < count; ++b) {
    const double *sb = v.data() + b * k, *nb = size.data() + b * k * k;
    for (int64_t j = 0; j < k; ++j)
      for (int64_t i = 0; i < k; ++i) {
        double& r = to[(b * k + j) * k + i];
        double gap = (sb[i] - sb[j]) * (sb[i] + sb[j]);
        if (i == j) {
          r = 1;
        } else if (std::abs(gap) > 10 * static_cast<double>(k) * eps * sb[0] * sb[0]) {
          r = 1 / gap;
        } else if (nb[j * k + i] >
                   1e3 * static_cast<double>(k) * eps * sizes[static_cast<size_t>(b)] * sb[0]) {
          ill_defined(j, i);
        }
      }
  }
  return out.to(real_type);
}

// Differentiable reciprocal of s (..., k) with 0 for a singular value that is nil.
Variable reciprocal(const Variable& s) {
  const double eps = epsilon_of(s.dtype());
  const int64_t k = s.dim(-1);
  std::vector<double> v = s.value().to_vector();
  std::vector<double> keep(v.size()), pad(v.size());
  for (size_t i = 0; i < v.size(); ++i) {
    double top = v[i / static_cast<size_t>(k) * static_cast<size_t>(k)];
    keep[i] = v[i] > 10 * static_cast<double>(k) * eps * top;
    pad[i] = keep[i] != 0 ? 0 : 1 - v[i];
  }
  auto constant = [&](const std::vector<double>& x) {
    return Variable(Tensor::from(x, s.shape()).to(s.dtype()));
  };
  return div(constant(keep), add(s, constant(pad)));
}

// Throws when what would be divided by a nil singular value does not vanish.
void check_outside(const Tensor& part, const Tensor& s, bool columns, const std::vector<double>& sizes) {
  const double eps = epsilon_of(s.dtype());
  const int64_t k = s.dim(-1), m = part.dim(-2), n = part.dim(-1), count = k ? s.numel() / k : 0;
  std::vector<double> v = s.to_vector(), size = abs(part).to_vector();
  for (int64_t b = 0; b < count; ++b)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        int64_t at = columns ? j : i;
        if (v[static_cast<size_t>(b * k + at)] <=
            10 * static_cast<double>(k) * eps * v[static_cast<size_t>(b * k)])
          SIGMA_CHECK(
              size[static_cast<size_t>((b * m + i) * n + j)] <=
                  1e3 * static_cast<double>(k) * eps * sizes[static_cast<size_t>(b)],
              "svd_backward",
              "singular value {} is zero and the loss depends on its singular vectors, so it has no gradient",
              at);
      }
}

void check_phase(const Tensor& left, const Tensor& right, const std::vector<double>& sizes) {
  // Im diag(U^H gU) = -Im diag(V^H gV) for a loss that the phases of the vectors do not change.
  Tensor a = imag(left), b = imag(right);
  const int64_t k = a.dim(-1), count = k ? a.numel() / (k * k) : 0;
  std::vector<double> x = a.to_vector(), y = b.to_vector();
  for (int64_t i = 0; i < count * k; ++i) {
    auto at = static_cast<size_t>(i / k * k * k + i % k * (k + 1));
    SIGMA_CHECK(std::abs(x[at] + y[at]) <= 1e-2 * sizes[static_cast<size_t>(i / k)], "svd_backward",
                "The singular vectors in the complex case are specified up to multiplication by e^{{i phi}}. "
                "The specified loss function depends on this phase term, making it ill-defined.");
  }
}

// dA from the gradients of compact U, S, Vh; each may be undefined.
Variable svd_backward(const Variable& gu, const Variable& gs, const Variable& gvh, const Variable& u,
                      const Variable& s, const Variable& vh) {
  const DType dtype = u.dtype();
  const int64_t m = u.dim(-2), n = vh.dim(-1), k = s.dim(-1);
  Variable inner;  // G
  auto plus = [](const Variable& a, const Variable& b) { return a.defined() ? add(a, b) : b; };
  const Variable eye(Tensor::eye(k, dtype));
  const std::vector<double> sizes = loss_sizes(gu, gvh, k ? s.numel() / k : 0);
  if (gu.defined() || gvh.defined()) {
    // G is computed from s / t, t the largest, and divided by t: the same for every constant t.
    const Variable unit(inverse_largest(s.value())), beside = mul(s, unit);
    Variable left = gu.defined() ? matmul(adjoint(u), gu) : Variable();      // U^H gU
    Variable right = gvh.defined() ? matmul(vh, adjoint(gvh)) : Variable();  // V^H gV
    if (is_complex(dtype)) {
      Tensor none = Tensor::zeros((left.defined() ? left : right).shape(), dtype);
      check_phase(left.defined() ? left.value() : none, right.defined() ? right.value() : none, sizes);
    }
    Variable numerator;
    if (left.defined()) numerator = mul(skew(left), like_dtype(as_row(beside), dtype));
    if (right.defined()) numerator = plus(numerator, mul(like_dtype(as_column(beside), dtype), skew(right)));
    Tensor keep = reciprocal_gaps(beside.value(), numerator.value(), sizes);
    // Recorded as a function of s, so that it can be differentiated again: 1 / (s_k^2 - s_j^2) where that is
    // used.
    Variable squares = mul(beside, beside), gap = sub(as_row(squares), as_column(squares));
    Tensor used = abs(sign(keep)), diagonal = Tensor::eye(k, s.dtype());
    Tensor off = sub(used, broadcast_to(diagonal, used.shape())),
           pad = sub(Tensor::ones(used.shape(), s.dtype()), off);
    Variable inverse = div(Variable(off), add(mul(gap, Variable(off)), Variable(pad)));
    inner = mul(numerator, like_dtype(mul(inverse, as_row(unit)), dtype));
    if (is_complex(dtype) && left.defined() && right.defined())  // i Im diag(U^H gU) / S
      inner = add(inner, mul(mul(scale(skew(left), 0.5), eye), like_dtype(as_row(reciprocal(s)), dtype)));
  }
  if (gs.defined()) inner = plus(inner, mul(eye, like_dtype(as_row(gs), dtype)));
  Variable result = matmul(matmul(u, inner), vh);
  if (m > k && gu.defined()) {
    Variable outside = sub(gu, matmul(u, matmul(adjoint(u), gu)));
    check_outside(outside.value(), s.value(), true, sizes);
    result = add(result, matmul(mul(outside, like_dtype(as_row(reciprocal(s)), dtype)), vh));
  }
  if (n > k && gvh.defined()) {
    Variable outside = sub(gvh, matmul(matmul(gvh, adjoint(vh)), vh));
    check_outside(outside.value(), s.value(), false, sizes);
    result = add(result, matmul(u, mul(like_dtype(as_column(reciprocal(s)), dtype), outside)));
  }
  return result;
}

}  // namespace

SvdVariables svd(const Variable& a, SvdOptions options) {
  Svd d = svd(a.value(), options);
  const int64_t k = d.s.dim(-1);
  SavedTensor su(d.u), ss(d.s), sv(d.vh);
  Variables out =
      record_many("svd", {d.u, d.s, d.vh}, {a}, [=](const Variables& g, const Node& self) -> Variables {
        // The node's own results: to be differentiated again, their phases must be those that the gradients
        // saw.
        Variable u = self.output(0, su.get(self)), s = self.output(1, ss.get(self)),
                 vh = self.output(2, sv.get(self));
        auto first = [k](const Variable& v, int dim) {
          return !v.defined() || v.dim(dim) == k ? v : slice(v, dim, 0, k);
        };
        return {svd_backward(first(g[0], -1), g[1], first(g[2], -2), first(u, -1), s, first(vh, -2))};
      });
  return {out[0], out[1], out[2]};
}

Variable svdvals(const Variable& a, SvdDriver driver) {
  if (!will_record({a})) return Variable(svdvals(a.value(), driver));
  return svd(a, {.full_matrices = false, .driver = driver}).s;
}

Variable pinv(const Variable& a, RankTolerance tolerance) {
  Tensor p = pinv(a.value(), tolerance);
  SavedTensor sa(a.value()), sp(p);
  return record("pinv", p, {a}, [=](const Variables& g, const Node& self) -> Variables {
    Variable va = self.input(0, sa.get(self));
    Variable vp = self.output(0, sp.get(self));
    Variable ph = adjoint(vp), gh = adjoint(g[0]);
    auto outside = [](const Variable& x, const Variable& left, const Variable& right) {  // x - left (right x)
      return sub(x, matmul(left, matmul(right, x)));
    };
    // dP = -P dA P + P P^H dA^H (I - A P) + (I - P A) dA^H P^H P
    Variable first = neg(matmul(matmul(ph, g[0]), ph));
    Variable second = matmul(matmul(outside(gh, va, vp), vp), ph);
    Variable third = matmul(matmul(ph, vp), sub(gh, matmul(matmul(gh, vp), va)));
    return {add(first, add(second, third))};
  });
}

Variable nuclear_norm(const Variable& a) { return sum(svdvals(a), {-1}); }

}  // namespace sigma
