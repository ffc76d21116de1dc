// Differentiable linear algebra; see core/linalg.h for what the functions compute and refuse.
//
// Gradients of the decomposition (Townsend 2016; Wan and Zhang 2019 for complex matrices):
//
//   E_jk = s_k^2 - s_j^2
//   G    = (skew(U^H gU) S + S skew(V^H gV)) / E + diag(gS)
//   dA   = U G V^H + terms for what of gU and gV lies outside the spans of U and V
//
// Only losses that do not depend on the choice of the singular vectors have a gradient: vectors are
// determined up to a phase each, and within the span of equal singular values not even that. Where E_jk
// vanishes and so does its numerator, as for such losses it must, the quotient counts as 0 (PyTorch gives
// NaN); where the numerator does not vanish the loss is ill-defined and backward throws, naming the pair. In
// the real case a dependence on signs is not detected. Columns of U and rows of Vh beyond the k-th
// (full_matrices) get no gradient.
//
// All can be differentiated again.
#pragma once

#include "autograd/variable.h"
#include "core/linalg.h"

namespace sigma {

struct SvdVariables {
  Variable u, s, vh;
};
SvdVariables svd(const Variable& a, SvdOptions options = {});
Variable svdvals(const Variable& a, SvdDriver driver = SvdDriver::automatic);  // always well defined
Variable pinv(const Variable& a, RankTolerance tolerance = {});                // at constant rank
Variable nuclear_norm(const Variable& a);                                      // sum of svdvals

}  // namespace sigma
