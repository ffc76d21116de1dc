// Linear algebra by the singular value decomposition A = U diag(S) Vh, torch.linalg's semantics, without
// gradients (autograd/linalg.h has those). Matrices are the last two dimensions of a tensor (..., m, n) of
// float32, float64, complex64 or complex128; k = min(m, n). Batches are cut over the threads, and no bit
// depends on how many there are.
//
// Every function refuses, before LAPACK sees it, a tensor of another dtype, of fewer than two dimensions, or
// with a value that is not finite, and names the matrix of the batch: an infinity can hang LAPACK.
#pragma once

#include <optional>

#include "core/tensor.h"

namespace sigma {

// How a decomposition is computed.
//   gesdd      LAPACK's divide and conquer, and where it does not converge its QR iteration. Fast. Errors are
//              small beside the largest singular value, so small values of a badly scaled matrix may be all
//              error.
//   jacobi     One-sided Jacobi in float64 (core/kernels/svd.h): high relative accuracy of every singular
//              value of A = B D with D diagonal. About 20 times slower at 500 columns.
//   automatic  jacobi where the columns (rows, when m < n) of the matrix differ in length by more than 1000
//              times and there are at most 256 of them; gesdd otherwise.
enum class SvdDriver : uint8_t { automatic, gesdd, jacobi };
SvdDriver parse_svd_driver(const std::string& name);  // throws kind usage for an unknown name

struct SvdOptions {
  bool full_matrices = true;  // U m x m and Vh n x n; otherwise m x k and k x n
  SvdDriver driver = SvdDriver::automatic;
};

struct Svd {
  Tensor u, s, vh;  // s (..., k) real, not negative, descending; u and vh of A's dtype
};
// Of each of the k singular vectors the phase is chosen: the first entry of U's column within 1% of the
// largest is real and positive.

Svd svd(const Tensor& a, SvdOptions options = {});
Tensor svdvals(const Tensor& a, SvdDriver driver = SvdDriver::automatic);

// Singular values up to max(atol, rtol * largest) count as zero. Without rtol: max(m, n) * epsilon, or 0 when
// atol is given.
struct RankTolerance {
  std::optional<double> atol, rtol;
};
Tensor matrix_rank(const Tensor& a, RankTolerance tolerance = {});  // (...) int64; 0 for an empty matrix
// Moore and Penrose's inverse (..., n, m).
Tensor pinv(const Tensor& a, RankTolerance tolerance = {});

// fro, nuc (sum of singular values), two (largest), minus_two (smallest), one (largest column sum), inf
// (largest row sum), minus_one, minus_inf (smallest).
enum class MatrixNorm : uint8_t { fro, nuc, two, minus_two, one, minus_one, inf, minus_inf };
Tensor matrix_norm(const Tensor& a, MatrixNorm kind = MatrixNorm::fro);  // (...) real
// norm(A) norm(A^-1); for two and minus_two a ratio of singular values, of any shape. Infinite for a singular
// matrix, zeros included (torch gives NaN there), 0 for an empty one.
Tensor cond(const Tensor& a, MatrixNorm kind = MatrixNorm::two);

// The best approximation of A by rank r in the 2-norm and the Frobenius norm (Eckart and Young 1936), as
// factors: left (..., m, r) = U_r sqrt(S_r), right (..., r, n) = sqrt(S_r) Vh_r.
struct LowRank {
  Tensor left, right;
  double energy = 1;  // kept share of the sum of squared singular values; the least of the batch
  int64_t rank() const { return right.dim(-2); }
};
LowRank low_rank(const Tensor& a, int64_t rank);
// The smallest rank that keeps at least this share of the energy, above 0 and at most 1, in every matrix of
// the batch.
LowRank low_rank_energy(const Tensor& a, double energy);
int64_t rank_for_energy(const Tensor& singular_values, double energy);

// A = unitary * positive, for m >= n: the orthogonal (unitary) factor U Vh (..., m, n), and V diag(S) Vh
// (..., n, n).
struct Polar {
  Tensor unitary, positive;
};
Polar polar(const Tensor& a);

}  // namespace sigma
