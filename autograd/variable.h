// Variable: a tensor that remembers how it was computed. Define-by-run reverse mode: each function records a
// Node; backward() walks the nodes in reverse order of creation.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
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

  // An undefined Variable, such as the bias of a layer that has none, answers these two; everything else
  // asked of it is an Error.
  bool defined() const { return state_ != nullptr; }
  bool requires_grad() const { return state_ && (state_->requires_grad || state_->grad_fn); }

  const Tensor& value() const { return checked().value; }
  Tensor& mutable_value() { return checked().value; }
  const Shape& shape() const { return checked().value.shape(); }
  int64_t dim(int i) const { return checked().value.dim(i); }
  int rank() const { return checked().value.rank(); }
  int64_t numel() const { return checked().value.numel(); }
  DType dtype() const { return checked().value.dtype(); }
  double item() const { return checked().value.item(); }

  void set_requires_grad(bool on);  // of a leaf
  bool is_leaf() const { return !checked().grad_fn; }
  const Tensor& grad() const { return checked().grad; }  // undefined when none has arrived
  void set_grad(Tensor grad) { checked().grad = std::move(grad); }
  void zero_grad() { checked().grad = Tensor(); }
  Variable detach() const { return Variable(checked().value); }

  // Adds d(sum of this * seed)/d(leaf) to the grad of every leaf that requires it. Without a seed this must
  // have one element. A second call needs retain_graph in the first. When a hook or a function's backward
  // throws, no leaf's grad has changed; what had run of the graph is released.
  void backward(const Tensor& seed = {}, BackwardOptions options = {}) const;
  // Calls hook with the gradient of this variable, once it is complete, in every later backward.
  void register_hook(TensorHook hook) const;

  VariableState* state() const { return state_.get(); }
  const std::shared_ptr<VariableState>& handle() const { return state_; }

 private:
  VariableState& checked() const {
    if (!state_) [[unlikely]]
      throw_undefined();
    return *state_;
  }
  [[noreturn]] static void throw_undefined();
  friend struct Node;
  friend Variable variable_from_edge(const Tensor&, const struct Edge&);
  friend Variables record_outputs(std::shared_ptr<Node>, std::vector<Tensor>);
  std::shared_ptr<VariableState> state_;
};

struct GradOptions {
  bool retain_graph = false;
  bool create_graph = false;  // record the backward pass too, for derivatives of derivatives
  bool allow_unused = false;  // an input the outputs do not depend on gives an undefined Variable, no error
};
// Gradients of sum_i <outputs[i], seeds[i]> with respect to `inputs`, returned rather than accumulated. An
// undefined or missing seed stands for 1 and needs a one-element output. Only what leads to `inputs` is
// computed: functions beside that are neither run nor released, and those on the way compute no other
// gradient. Leaves' hooks are not called.
Variables grad(const Variables& outputs, const Variables& inputs, const Variables& seeds = {},
               GradOptions options = {});

// As to_string of a Tensor, with requires_grad or the function that computed it:
// tensor([1., 2.], shape=(2), dtype=float32, grad_fn=<mul>).
std::string to_string(const Variable& v);
std::ostream& operator<<(std::ostream& out, const Variable& v);

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
