// Node: one recorded function. For authors of functions and layers.
//
// A function computes its value with tensors, then calls `record`:
//
//   return record("relu", y, {x}, [saved = SavedTensor(y)](const Variables& g, const Node& self) {...});
//
// The closure captures saved tensors explicitly, never a Variable (a cycle) nor a layer (stale state). It
// returns one gradient for each input; an undefined one stands for zero. Closures overwrite; only the engine
// adds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "autograd/variable.h"

namespace sigma {

// Where a gradient flows to: output `index` of a node, or a leaf.
struct Edge {
  std::shared_ptr<Node> node;
  std::shared_ptr<VariableState> leaf;
  int index = 0;
};

// The edge along which the gradient of v flows; empty when v requires none.
Edge edge_to(const Variable& v);

// A tensor kept for backward, with its version then. get() throws when it was written to since: a wrong
// gradient otherwise (PyTorch's "modified by an inplace operation").
class SavedTensor {
 public:
  SavedTensor() = default;
  explicit SavedTensor(Tensor t) : tensor_(std::move(t)), version_(tensor_.version()) {}
  const Tensor& get(const Node& node) const;

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
};

using BackwardFn = std::function<Variables(const Variables& grads, const Node& self)>;

struct Node : std::enable_shared_from_this<Node> {
  const char* name = "";
  std::vector<Edge> inputs;
  std::vector<Shape> output_shapes;
  DType dtype = DType::float32;
  BackwardFn backward;                         // empty once released
  uint64_t sequence = 0;                       // order of creation: every input's is smaller
  std::vector<std::vector<TensorHook>> hooks;  // an output each; empty when there are none

  ~Node();  // iterative: a chain of a million nodes must not overflow the stack
  // Whether the gradient of an input is asked for: it requires one, and of grad(outputs, inputs) it is on the
  // way to one of `inputs`. For closures, to skip what nobody reads.
  bool needs(size_t input) const { return (inputs[input].node || inputs[input].leaf) && asked(input); }
  // The input as a Variable that belongs to the graph, from its saved value; for closures whose gradient is
  // to be differentiable itself.
  Variable input(size_t i, const Tensor& value) const;
  // The same of an output: for gradients written in terms of the function's results.
  Variable output(int i, const Tensor& value) const;

 private:
  bool asked(size_t input) const;  // in the pass that runs on this thread
};

// Wraps computed values as outputs; records a node when gradients are on and any input requires them.
Variable record(const char* name, Tensor value, const Variables& inputs, BackwardFn backward);
Variables record_many(const char* name, std::vector<Tensor> values, const Variables& inputs,
                      BackwardFn backward);
// Whether `record` would record: lets a function skip what only backward needs.
bool will_record(const Variables& inputs);

// For closures that work on tensors alone. They cannot be differentiated again: that is an error, not a zero.
using TensorBackwardFn =
    std::function<std::vector<Tensor>(const std::vector<Tensor>& grads, const Node& self)>;
BackwardFn once_differentiable(TensorBackwardFn fn);

}  // namespace sigma
