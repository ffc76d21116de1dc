// Variables and the nodes that functions record.
#include "autograd/variable.h"

#include <atomic>
#include <ostream>
#include <utility>

#include "autograd/node.h"

namespace sigma {
namespace {

thread_local bool grad_mode = true;
std::atomic<uint64_t> next_sequence{1};

}  // namespace

Edge edge_to(const Variable& v) {
  if (!v.defined() || !v.requires_grad()) return {};
  if (v.state()->grad_fn) return {v.state()->grad_fn, nullptr, v.state()->output_index};
  return {nullptr, v.handle(), 0};
}

bool grad_enabled() { return grad_mode; }
NoGrad::NoGrad(bool enabled) : previous_(std::exchange(grad_mode, enabled)) {}
NoGrad::~NoGrad() { grad_mode = previous_; }

Variable::Variable(Tensor value, bool requires_grad) : state_(std::make_shared<VariableState>()) {
  SIGMA_CHECK(!requires_grad || is_floating(value.dtype()) || is_complex(value.dtype()), "variable",
              "only floating-point and complex tensors can require gradients, got {}",
              name_of(value.dtype()));
  state_->value = std::move(value);
  state_->requires_grad = requires_grad;
}

void Variable::throw_undefined() {
  throw_check("variable", "expected a Variable, got an undefined one, such as the bias of a layer without");
}

std::string to_string(const Variable& v) {
  if (!v.defined()) return "tensor(undefined)";
  if (v.state()->grad_fn) return to_string(v.value(), fmt::format("grad_fn=<{}>", v.state()->grad_fn->name));
  return to_string(v.value(), v.requires_grad() ? "requires_grad=True" : "");
}
std::ostream& operator<<(std::ostream& out, const Variable& v) { return out << to_string(v); }

void Variable::set_requires_grad(bool on) {
  SIGMA_CHECK(is_leaf(), "variable", "requires_grad can be set on leaves only");
  state_->requires_grad = on;
}

void Variable::register_hook(TensorHook hook) const {
  SIGMA_CHECK(requires_grad(), "register_hook", "the variable does not require a gradient");
  if (is_leaf()) {
    state_->hooks.push_back(std::move(hook));
    return;
  }
  Node& node = *state_->grad_fn;
  node.hooks.resize(node.output_shapes.size());
  node.hooks[static_cast<size_t>(state_->output_index)].push_back(std::move(hook));
}

Node::~Node() {
  // Hands the inputs to a list on the outermost destructor's stack instead of recursing into theirs.
  thread_local std::vector<std::shared_ptr<Node>>* doomed = nullptr;
  backward = nullptr;
  if (doomed) {
    for (Edge& e : inputs)
      if (e.node) doomed->push_back(std::move(e.node));
    return;
  }
  std::vector<std::shared_ptr<Node>> list;
  doomed = &list;
  for (Edge& e : inputs)
    if (e.node) list.push_back(std::move(e.node));
  while (!list.empty()) {
    auto next = std::move(list.back());
    list.pop_back();
    next.reset();
  }
  doomed = nullptr;
}

const Tensor& SavedTensor::get(const Node& node) const {
  SIGMA_CHECK(!tensor_.defined() || tensor_.version() == version_, node.name,
              "a tensor {} saved for backward was modified since (version {}, expected {})",
              tensor_.shape().str(), tensor_.version(), version_);
  return tensor_;
}

Variable variable_from_edge(const Tensor& value, const Edge& edge) {
  Variable v(value);
  if (edge.leaf) v.state_ = edge.leaf;
  v.state_->grad_fn = edge.node;
  v.state_->output_index = edge.index;
  return v;
}

Variable Node::input(size_t i, const Tensor& value) const {
  // A plain backward pass computes with the saved value, whatever the leaf holds by now.
  const Edge& edge = inputs[i];
  if (!grad_enabled()) return Variable(value);
  if (!edge.leaf || edge.leaf->value.shares_storage(value)) return variable_from_edge(value, edge);
  // Saved in another layout than the leaf's: a node that passes the gradient on.
  return record("saved", value, {variable_from_edge(edge.leaf->value, edge)},
                [](const Variables& g, const Node&) -> Variables { return {g[0]}; });
}

Variable Node::output(int i, const Tensor& value) const {
  if (!grad_enabled()) return Variable(value);
  return variable_from_edge(value, {std::const_pointer_cast<Node>(shared_from_this()), nullptr, i});
}

bool will_record(const Variables& inputs) {
  if (!grad_mode) return false;
  for (const Variable& v : inputs)
    if (v.defined() && v.requires_grad()) return true;
  return false;
}

Variables record_outputs(std::shared_ptr<Node> node, std::vector<Tensor> values) {
  Variables outputs;
  outputs.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    outputs.emplace_back(std::move(values[i]));
    outputs.back().state_->grad_fn = node;
    outputs.back().state_->output_index = static_cast<int>(i);
  }
  return outputs;
}

Variables record_many(const char* name, std::vector<Tensor> values, const Variables& inputs,
                      BackwardFn backward) {
  std::shared_ptr<Node> node;
  if (will_record(inputs)) {
    node = std::make_shared<Node>();
    node->name = name;
    node->sequence = next_sequence.fetch_add(1, std::memory_order_relaxed);
    node->backward = std::move(backward);
    node->dtype = values[0].dtype();
    node->inputs.reserve(inputs.size());
    for (const Variable& v : inputs) node->inputs.push_back(edge_to(v));
    for (const Tensor& t : values) node->output_shapes.push_back(t.shape());
  }
  return record_outputs(std::move(node), std::move(values));
}

Variable record(const char* name, Tensor value, const Variables& inputs, BackwardFn backward) {
  return record_many(name, {std::move(value)}, inputs, std::move(backward))[0];
}

BackwardFn once_differentiable(TensorBackwardFn fn) {
  return [fn = std::move(fn)](const Variables& grads, const Node& self) {
    SIGMA_CHECK(!grad_enabled(), self.name,
                "this function can be differentiated once only; its backward pass is not recorded");
    std::vector<Tensor> tensors;
    tensors.reserve(grads.size());
    for (size_t i = 0; i < grads.size(); ++i)
      tensors.push_back(grads[i].defined() ? grads[i].value()
                                           : Tensor::zeros(self.output_shapes[i], self.dtype));
    Variables result;
    for (Tensor& t : fn(tensors, self)) result.push_back(t.defined() ? Variable(std::move(t)) : Variable());
    return result;
  };
}

}  // namespace sigma
