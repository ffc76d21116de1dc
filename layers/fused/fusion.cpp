#include "layers/fused/fusion.h"

#include <utility>

#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/sequential.h"

namespace sigma {
namespace {

thread_local bool fusion = true;

template <class Layer, Role kRole>
Layer* as(Module* m) {
  return m && m->role() == kRole ? static_cast<Layer*>(m) : nullptr;
}

using Children = std::vector<Child>;

// A Sequential in the chain, such as a layer in two factors, is a part of it unless it is observed.
bool is_nested(const Module& m) { return m.role() == Role::chain && !m.has_forward_hooks(); }

void flatten(const Children& children, size_t begin, size_t end, Children& flat) {
  for (size_t i = begin; i < end; ++i) {
    const Module& m = *children[i].second;
    if (is_nested(m))
      flatten(m.named_children(), 0, m.named_children().size(), flat);
    else
      flat.push_back(children[i]);
  }
}

// Steps through the children; layers folded away are passed over, observed ones are not offered for fusion.
struct Cursor {
  const Children& children;
  size_t at, end;

  Module* peek() {
    while (at < end && children[at].second->role() == Role::identity &&
           !children[at].second->has_forward_hooks())
      ++at;
    return at < end ? children[at].second.get() : nullptr;
  }
  template <class Find>
  auto take(Find find) -> decltype(find(nullptr)) {
    Module* m = peek();
    if (!m || m->has_forward_hooks()) return nullptr;
    auto* found = find(m);
    if (found) ++at;
    return found;
  }
};

}  // namespace

void check_skip(const Variable& y, const Variable& skip) {
  SIGMA_CHECK(y.shape() == skip.shape(), "residual", "body and shortcut give different shapes, {} and {}",
              y.shape().str(), skip.shape().str());
  SIGMA_CHECK(y.dtype() == skip.dtype(), "residual", "body and shortcut give different types, {} and {}",
              name_of(y.dtype()), name_of(skip.dtype()));
}

NoFusion::NoFusion() : previous_(std::exchange(fusion, false)) {}
NoFusion::~NoFusion() { fusion = previous_; }

Variable run_chain(const std::vector<std::pair<std::string, ModulePtr>>& children, size_t begin, size_t end,
                   const Variable& x, const Variable& skip) {
  for (size_t i = begin; i < end; ++i) {
    if (!is_nested(*children[i].second)) continue;
    Children flat;
    flatten(children, begin, end, flat);
    return run_chain(flat, 0, flat.size(), x, skip);
  }
  Variable y = x;
  bool skipped = !skip.defined();
  Cursor cursor{children, begin, end};
  while (Module* m = cursor.peek()) {
    Conv2d* conv = fusion ? cursor.take(as<Conv2d, Role::convolution>) : nullptr;
    BatchNorm* norm = fusion ? cursor.take(as<BatchNorm, Role::batch_norm>) : nullptr;
    Linear* linear = fusion && !conv && !norm ? cursor.take(as<Linear, Role::linear>) : nullptr;
    if (!conv && !norm && !linear) {
      y = (*m)(y);
      ++cursor.at;
      continue;
    }
    BatchNormArguments after;
    if (norm) {
      after.relu = cursor.take(as<ReLU, Role::relu>) != nullptr;
      // Sequences are rearranged for the norm: their skip is added apart.
      if (!after.relu && !skipped && !cursor.peek() && y.rank() != 3) {
        after.relu = skipped = true;
        after.skip = skip;
      }
      if (conv)
        y = conv->run_as_layer([&] {
          return conv->forward(y, {.moments = norm->uses_batch_statistics() ? &after.moments : nullptr});
        });
      if (after.skip.defined()) check_skip(y, skip);  // a norm keeps the shape
      y = norm->run_as_layer([&] { return norm->forward(y, std::move(after)); });
    } else if (conv) {
      bool no_gradient = !will_record({y, conv->weight, conv->bias});
      const bool relu = no_gradient && cursor.take(as<ReLU, Role::relu>);
      y = conv->run_as_layer([&] { return conv->forward(y, {.relu = relu}); });
    } else {
      bool no_gradient = !will_record({y, linear->weight, linear->bias});
      const bool relu = no_gradient && cursor.take(as<ReLU, Role::relu>);
      y = linear->run_as_layer([&] { return linear->forward(y, relu); });
    }
  }
  if (skipped) return y;
  check_skip(y, skip);
  return relu(add(y, skip));
}

}  // namespace sigma
