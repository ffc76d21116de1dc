#include "autograd/complex.h"

#include "autograd/node.h"
#include "autograd/ops.h"
#include "core/math.h"

namespace sigma {

Variable conj(const Variable& a) {
  if (!is_complex(a.dtype())) return a;
  return record("conj", conj(a.value()), {a},
                [](const Variables& g, const Node&) -> Variables { return {conj(g[0])}; });
}

Variable real(const Variable& a) {
  if (!is_complex(a.dtype())) return a;
  return record("real", real(a.value()), {a}, [](const Variables& g, const Node&) -> Variables {
    return {complex(g[0], Variable(Tensor::zeros_like(g[0].value())))};
  });
}

Variable imag(const Variable& a) {
  if (!is_complex(a.dtype())) return Variable(Tensor::zeros_like(a.value()));
  return record("imag", imag(a.value()), {a}, [](const Variables& g, const Node&) -> Variables {
    return {complex(Variable(Tensor::zeros_like(g[0].value())), g[0])};
  });
}

Variable complex(const Variable& re, const Variable& im) {
  return record("complex", complex(re.value(), im.value()), {re, im},
                [](const Variables& g, const Node&) -> Variables {
                  return {real(g[0]), imag(g[0])};
                });
}

Variable complex_abs(const Variable& a) {
  return record("abs", complex_abs(a.value()), {a},
                [saved = SavedTensor(a.value())](const Variables& g, const Node& self) -> Variables {
                  Variable z = self.input(0, saved.get(self)), size = complex_abs(z);
                  // Where z is 0 the size is taken as 1, so that 0 / 1 = 0 comes out.
                  Tensor one = sub(Tensor::ones(size.shape(), size.dtype()), sign(size.value()));
                  Variable scaled = div(g[0], add(size, Variable(one)));
                  return {mul(z, complex(scaled, Variable(Tensor::zeros_like(scaled.value()))))};
                });
}

}  // namespace sigma
