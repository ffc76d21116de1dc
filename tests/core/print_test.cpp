// Tensors as text: the same as PyTorch's (tests/golden/generate_ops.py), with shape and dtype behind.
#include <sstream>

#include "autograd/ops.h"
#include "tests/support/golden.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// What lies between "tensor(" and the remarks behind it.
std::string body(const std::string& text) {
  return text.substr(0,
                     text.rfind(']') == std::string::npos ? text.find_first_of(",)") : text.rfind(']') + 1);
}

}  // namespace

TEST_CASE("a tensor reads as in PyTorch", "[print]") {
  for (const GoldenCase& c : load_golden("printed")) {
    INFO(c.name);
    CHECK(body(to_string(c["x"])) == body(c.options.at("text")));
  }
}

TEST_CASE("behind the numbers come shape and dtype, on a new line where they do not fit", "[print]") {
  CHECK(to_string(Tensor::from<float>({1, 2.5f, 3, 4}, {2, 2})) ==
        "tensor([[1.0000, 2.5000],\n        [3.0000, 4.0000]], shape=(2, 2), dtype=float32)");
  CHECK(to_string(Tensor::zeros({2, 0})) == "tensor([], shape=(2, 0), dtype=float32)");
  CHECK(to_string(Tensor()) == "tensor(undefined)");
  CHECK(to_string(Tensor::arange(20)) ==
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19], shape=(20), dtype=int64)");
  CHECK(to_string(Tensor::arange(0, 1.7, 0.1)).find(",\n       shape=(17), dtype=float32)") !=
        std::string::npos);
  std::ostringstream out;
  out << Tensor::scalar(3) << Variable(Tensor::scalar(2));
  CHECK(out.str() == "tensor(3., shape=(), dtype=float32)tensor(2., shape=(), dtype=float32)");
}

TEST_CASE("complex numbers read as in PyTorch", "[print]") {
  using Z = std::complex<float>;
  CHECK(body(to_string(Tensor::from<Z>({{1, 2}, {-0.5f, -3}}, {2}))) == "tensor([ 1.0000+2.j, -0.5000-3.j]");
  CHECK(body(to_string(Tensor::from<Z>({{1, 2}, {-1, -3}, {0, 0}, {0, 1}}, {2, 2}))) ==
        "tensor([[ 1.+2.j, -1.-3.j],\n        [ 0.+0.j,  0.+1.j]]");
}

TEST_CASE("a Variable tells where it comes from", "[print]") {
  Variable x(Tensor::ones({2}), true);
  CHECK(to_string(x) == "tensor([1., 1.], shape=(2), dtype=float32, requires_grad=True)");
  CHECK(to_string(x * x) == "tensor([1., 1.], shape=(2), dtype=float32, grad_fn=<mul>)");
  CHECK(to_string(x.detach()) == to_string(x.value()));
  CHECK(to_string(Variable()) == "tensor(undefined)");
}
