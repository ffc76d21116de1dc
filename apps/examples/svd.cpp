// Singular values at work, twice: a noisy matrix is cleaned by keeping its large singular values, and a layer
// is replaced by two thinner ones that compute nearly the same.
#include <fmt/core.h>
#include <sigma/core/linalg.h>
#include <sigma/sigma.h>

using namespace sigma;

Tensor normal(const Shape& shape, const char* name, double deviation) {
  Tensor t = Tensor::empty(shape, DType::float64);
  Rng rng(3, name);
  for (int64_t i = 0; i < t.numel(); ++i) t.mutable_data<double>()[i] = deviation * rng.next_normal();
  return t;
}

int main() {
  // A 60 x 40 matrix of rank 3 under noise. The noise alone has singular values up to about
  // 0.1 (sqrt(60) + sqrt(40)) = 1.4; what is above that is signal.
  Tensor signal = matmul(normal({60, 3}, "left", 1), normal({3, 40}, "right", 1));
  Tensor noisy = add(signal, normal({60, 40}, "noise", 0.1));
  Tensor values = svdvals(noisy);
  int64_t rank = 0;
  while (rank < values.numel() && values.data<double>()[rank] > 1.6) ++rank;
  LowRank kept = low_rank(noisy, rank);  // Eckart and Young: no matrix of this rank is closer
  double before = norm2(sub(noisy, signal)), after = norm2(sub(matmul(kept.left, kept.right), signal));
  fmt::print("singular values {:.1f} {:.1f} {:.1f} | {:.2f} {:.2f} ...: rank {}\n", values.at({0}),
             values.at({1}), values.at({2}), values.at({3}), values.at({4}), rank);
  fmt::print("distance from the signal: {:.2f} with the noise, {:.2f} cleaned\n", before, after);

  // W of a linear layer y = W x + b as two factors: 256 x 128 numbers become r (256 + 128).
  Linear layer(128, 256);
  Tensor weight = layer.named_parameters()[0].second.value().to(DType::float64);
  Tensor scaled = matmul(weight, matmul(normal({128, 16}, "a", 0.3), normal({16, 128}, "b", 0.3)));
  LowRank factors = low_rank_energy(scaled, 0.999);
  double relative = norm2(sub(matmul(factors.left, factors.right), scaled)) / norm2(scaled);
  fmt::print(
      "a 256 x 128 layer keeps 99.9% of its energy at rank {}: {} numbers instead of {}, error {:.3f}\n",
      factors.rank(), factors.rank() * (256 + 128), 256 * 128, relative);
  return rank == 3 && after < before / 2 && factors.rank() <= 16 && relative < 0.04 ? 0 : 1;
}
