#include "layers/fused/patterns.h"

#include "autograd/ops.h"
#include "layers/activations.h"
#include "layers/fused/chain.h"
#include "layers/fused/functions.h"
#include "layers/residual.h"

namespace sigma::fused {
namespace {

using Layers = std::span<Module* const>;

// A layer's class follows from its role.
Conv2d& conv_of(Module& m) { return static_cast<Conv2d&>(m); }
Linear& linear_of(Module& m) { return static_cast<Linear&>(m); }
BatchNorm& norm_of(Module& m) { return static_cast<BatchNorm&>(m); }

// The convolution's result, with its moments where the norm after it wants those of the batch.
WithMoments run_conv(Module& m, Module& norm, const Variable& x) {
  Conv2d& conv = conv_of(m);
  WithMoments result;
  conv.run_as_layer([&] {
    if (norm_of(norm).uses_batch_statistics())
      result = conv2d_moments(x, conv.weight, conv.bias, conv.options());
    else
      result.y = conv2d(x, conv.weight, conv.bias, conv.options());
    return result.y;
  });
  return result;
}

Variable run_norm(Module& m, const WithMoments& x) {
  return m.run_as_layer([&] {
    return norm_of(m).forward_with(
        x.y, [&](const BatchNormArguments& a) { return batch_norm_given(x.y, x.moments, a); });
  });
}

Variable run_norm_relu(Module& m, const WithMoments& x, const Variable& skip) {
  return m.run_as_layer([&] {
    return norm_of(m).forward_with(
        x.y, [&](const BatchNormArguments& a) { return batch_norm_relu(x.y, skip, x.moments, a); });
  });
}

// relu(norm(x) + skip).
Variable run_norm_skip(Module& m, const WithMoments& x, const Variable& skip) {
  if (x.y.rank() == 3) {  // sequences are rearranged for the norm: their skip is added apart
    const Variable y = run_norm(m, x);
    check_skip(y, skip);
    return relu(add(y, skip));
  }
  check_skip(x.y, skip);  // a norm keeps the shape
  return run_norm_relu(m, x, skip);
}

Variable conv_norm_skip(Layers l, const Variable& x, const Variable& skip) {
  return run_norm_skip(*l[1], run_conv(*l[0], *l[1], x), skip);
}
Variable conv_norm_relu(Layers l, const Variable& x, const Variable&) {
  return run_norm_relu(*l[1], run_conv(*l[0], *l[1], x), {});
}
Variable conv_norm(Layers l, const Variable& x, const Variable&) {
  return run_norm(*l[1], run_conv(*l[0], *l[1], x));
}
Variable norm_skip(Layers l, const Variable& x, const Variable& skip) {
  return run_norm_skip(*l[0], {x, {}}, skip);
}
Variable norm_relu(Layers l, const Variable& x, const Variable&) { return run_norm_relu(*l[0], {x, {}}, {}); }

Variable conv_relu(Layers l, const Variable& x, const Variable&) {
  Conv2d& conv = conv_of(*l[0]);
  return conv.run_as_layer([&] { return conv2d_relu(x, conv.weight, conv.bias, conv.options()); });
}
Variable fc_relu(Layers l, const Variable& x, const Variable&) {
  Linear& fc = linear_of(*l[0]);
  return fc.run_as_layer([&] { return linear_relu(x, fc.weight, fc.bias); });
}

Variable residual_relu(Layers l, const Variable& x, const Variable&) {
  auto& block = static_cast<Residual&>(*l[0]);
  return block.run_as_layer([&] { return block.forward_relu(x); });
}

}  // namespace

const std::vector<Pattern>& patterns() {
  static const std::vector<Pattern> all = {
      {{Role::convolution, Role::batch_norm}, true, false, conv_norm_skip},
      {{Role::convolution, Role::batch_norm, Role::relu}, false, false, conv_norm_relu},
      {{Role::convolution, Role::batch_norm}, false, false, conv_norm},
      {{Role::batch_norm}, true, false, norm_skip},
      {{Role::batch_norm, Role::relu}, false, false, norm_relu},
      {{Role::residual, Role::relu}, false, false, residual_relu},
      {{Role::convolution, Role::relu}, false, true, conv_relu},
      {{Role::linear, Role::relu}, false, true, fc_relu},
  };
  return all;
}

}  // namespace sigma::fused
