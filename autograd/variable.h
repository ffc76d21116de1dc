// Variable: a tensor that remembers how it was computed. Define-by-run reverse mode: each function records a
// Node; backward() walks the nodes in reverse order of creation.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace sigma {

class Variable;
struct Node;
using Variables = std::vector<Variable>;
using TensorHook = std::function<void(const Tensor&)>;

struct VariableState {
  Tensor value;
  Tensor grad;  // of a leaf; undefined until the first backward
  bool requires_grad = false;
  std::shared_ptr<Node> grad_fn;  // what computed it; null for a leaf
  int output_index = 0;           // which output of grad_fn
  std::vector<TensorHook> hooks;  // of a leaf: called with the gradient before it is accumulated
};

struct BackwardOptions {
  bool retain_graph = false;  // keep what the nodes saved, so that backward can run again
};

class Variable {
 public:
  Variable() = default;
  // A leaf.
  explicit Variable(Tensor value, bool requires_grad = false);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const { return state_->value; }
  Tensor& mutable_value() { return state_->value; }
  const Shape& shape() const { return state_->value.shape(); }
  int64_t dim(int i) const { return state_->value.dim(i); }
  int rank() const { return state_->value.rank(); }
  int64_t numel() const { return state_->value.numel(); }
  DType dtype() const { return state_->value.dtype(); }
  double item() const { return state_->value.item(); }

  bool requires_grad() const { return state_ && (state_->requires_grad || state_->grad_fn); }
  void set_requires_grad(bool on);  // of a leaf
  bool is_leaf() const { return !state_->grad_fn; }
  const Tensor& grad() const { return state_->grad; }  // undefined when none has arrived
  void set_grad(Tensor grad) { state_->grad = std::move(grad); }
  void zero_grad() { state_->grad = Tensor(); }
  Variable detach() const { return Variable(state_->value); }

  // Adds d(sum of this * seed)/d(leaf) to the grad of every leaf that requires it. Without a seed this must
  // have one element. A second call needs retain_graph in the first.
  void backward(const Tensor& seed = {}, BackwardOptions options = {}) const;
  // Calls hook with the gradient of this variable, once it is complete, in every later backward.
  void register_hook(TensorHook hook) const;

  VariableState* state() const { return state_.get(); }
  const std::shared_ptr<VariableState>& handle() const { return state_; }

 private:
  friend struct Node;
  friend Variable variable_from_edge(const Tensor&, const struct Edge&);
  friend Variables record_outputs(std::shared_ptr<Node>, std::vector<Tensor>);
  std::shared_ptr<VariableState> state_;
};

struct GradOptions {
  bool retain_graph = false;
  bool create_graph = false;  // record the backward pass too, for derivatives of derivatives
  bool allow_unused =
      false;  // an input the outputs do not depend on gives an undefined Variable instead of an error
};
// Gradients of sum_i <outputs[i], seeds[i]> with respect to `inputs`, returned rather than accumulated. An
// undefined or missing seed stands for 1 and needs a one-element output.
Variables grad(const Variables& outputs, const Variables& inputs, const Variables& seeds = {},
               GradOptions options = {});

// Whether functions record nodes, on this thread. Independent of the layers' training mode.
bool grad_enabled();
class NoGrad {
 public:
  explicit NoGrad(bool enabled = false);
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace sigma
