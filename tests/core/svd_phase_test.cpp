// Which of the many equivalent singular vectors the decomposition returns.
#include "tests/support/svd.h"

using namespace sigma;
using namespace sigma::test;

TEST_CASE("svd case 34: the phase of singular vectors is the same for both drivers and by a rule", "[svd]") {
  for (DType dtype : kLinalgTypes)
    for (auto [m, n] : {std::pair<int64_t, int64_t>{6, 6}, {9, 4}, {3, 8}, {1, 5}, {5, 1}})
      for (bool full : {false, true}) {
        Tensor a = random_matrix({m, n}, 34, dtype);
        Svd one = svd(a, {.full_matrices = full, .driver = SvdDriver::gesdd}),
            two = svd(a, {.full_matrices = full, .driver = SvdDriver::jacobi});
        const int64_t k = std::min(m, n);
        const double epsilon = ulp_of(dtype);
        // The values are apart, so the vectors differ by rounding over the gap between the values.
        auto first = [&](const Tensor& t, int dim) { return slice(t, dim, 0, k); };
        CHECK(norm2(sub(first(one.u, -1), first(two.u, -1))) <= 1e4 * epsilon);
        CHECK(norm2(sub(first(one.vh, -2), first(two.vh, -2))) <= 1e4 * epsilon);
        for (const Svd& d : {one, two}) {
          Tensor size = abs(d.u);
          for (int64_t j = 0; j < k; ++j) {
            double largest = 0;
            for (int64_t i = 0; i < m; ++i) largest = std::max(largest, size.at({i, j}));
            int64_t i = 0;
            while (size.at({i, j}) < .99 * largest) ++i;
            Tensor z = slice(slice(d.u, 0, i, 1), 1, j, 1);
            CHECK(real(z).item() == Approx(size.at({i, j})));
            if (is_complex(dtype)) CHECK(std::abs(imag(z).item()) <= 4 * epsilon);
          }
        }
      }
}
