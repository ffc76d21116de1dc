#include <atomic>
#include <queue>
#include <unordered_map>
#include <utility>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "core/math.h"

namespace sigma {
namespace {

thread_local bool grad_mode = true;
std::atomic<uint64_t> next_sequence{1};

Edge edge_to(const Variable& v) {
  if (!v.defined() || !v.requires_grad()) return {};
  if (v.state()->grad_fn) return {v.state()->grad_fn, nullptr, v.state()->output_index};
  return {nullptr, v.handle(), 0};
}

// What has arrived for the outputs of a node that is still to run.
struct Pending {
  std::shared_ptr<Node> node;
  Variables grads;
};
struct LaterFirst {
  bool operator()(const Node* a, const Node* b) const { return a->sequence < b->sequence; }
};

void accumulate(Variable& into, const Variable& g, bool create_graph) {
  if (!into.defined()) {
    into = g;
  } else if (create_graph) {
    into = add(into, g);
  } else if (into.handle().use_count() == 1 && into.value().is_sole_owner()) {
    add_(into.mutable_value(),
         g.value());  // where several gradients meet, their sum reuses the first's memory
  } else {
    into = Variable(add(into.value(), g.value()));
  }
}

// One backward pass. `wanted` are states or node outputs whose gradient is returned; with none, leaves
// accumulate.
class Engine {
 public:
  Engine(bool retain, bool create_graph) : retain_(retain || create_graph), create_graph_(create_graph) {}

  void seed(const Variable& output, const Variable& g) { send(edge_to(output), g); }
  // Asks for the gradient of an intermediate result to be kept.
  void watch(const Variable& v) {
    if (v.state()->grad_fn)
      watched_[v.state()->grad_fn.get()].resize(v.state()->grad_fn->output_shapes.size());
  }

  void run() {
    NoGrad mode(create_graph_);
    while (!queue_.empty()) {
      Node* node = queue_.top();
      queue_.pop();
      auto found = pending_.find(node);
      Pending item = std::move(found->second);
      pending_.erase(found);
      for (size_t i = 0; i < item.grads.size(); ++i)
        if (item.grads[i].defined() && i < node->hooks.size())
          for (auto& hook : node->hooks[i]) hook(item.grads[i].value());
      if (auto watched = watched_.find(node); watched != watched_.end()) watched->second = item.grads;
      SIGMA_CHECK(
          node->backward, "backward",
          "the graph of {} was already released; pass retain_graph to the first backward to run it again",
          node->name);
      Variables grads = node->backward(item.grads, *node);
      SIGMA_CHECK(grads.size() == node->inputs.size(), node->name, "backward gave {} gradients for {} inputs",
                  grads.size(), node->inputs.size());
      if (!retain_) node->backward = nullptr;
      for (size_t i = 0; i < grads.size(); ++i)
        if (grads[i].defined()) send(node->inputs[i], grads[i]);
    }
  }

  Variable result(const Variable& v) {
    if (v.state()->grad_fn) {
      auto& list = watched_[v.state()->grad_fn.get()];
      auto i = static_cast<size_t>(v.state()->output_index);
      return i < list.size() ? list[i] : Variable();
    }
    auto it = leaves_.find(v.state());
    return it == leaves_.end() ? Variable() : it->second.second;
  }

  // Adds the gradients to the leaves' grad, after their hooks.
  void deliver() {
    for (VariableState* leaf : order_) {
      const Tensor& g = leaves_[leaf].second.value();
      for (auto& hook : leaf->hooks) hook(g);
      Tensor arrived = g.to(leaf->value.layout());
      leaf->grad = leaf->grad.defined() ? add(leaf->grad, arrived) : arrived;
    }
  }

 private:
  void send(const Edge& to, const Variable& g) {
    if (to.node) {
      auto [it, fresh] = pending_.try_emplace(to.node.get());
      if (fresh) {
        it->second.node = to.node;
        it->second.grads.resize(to.node->output_shapes.size());
        queue_.push(to.node.get());
      }
      SIGMA_CHECK(g.shape() == to.node->output_shapes[static_cast<size_t>(to.index)], to.node->name,
                  "expected a gradient of shape {}, got {}",
                  to.node->output_shapes[static_cast<size_t>(to.index)].str(), g.shape().str());
      accumulate(it->second.grads[static_cast<size_t>(to.index)], g, create_graph_);
    } else if (to.leaf) {
      SIGMA_CHECK(g.shape() == to.leaf->value.shape(), "backward", "expected a gradient of shape {}, got {}",
                  to.leaf->value.shape().str(), g.shape().str());
      auto& slot = leaves_[to.leaf.get()];
      if (!slot.first) {
        slot.first = to.leaf;
        order_.push_back(to.leaf.get());
      }
      accumulate(slot.second, g, create_graph_);
    }
  }

  bool retain_, create_graph_;
  std::priority_queue<Node*, std::vector<Node*>, LaterFirst> queue_;
  std::unordered_map<Node*, Pending> pending_;
  std::unordered_map<Node*, Variables> watched_;
  std::unordered_map<VariableState*, std::pair<std::shared_ptr<VariableState>, Variable>> leaves_;
  std::vector<VariableState*> order_;
};

Variable seed_for(const Variable& output, const Variable& seed) {
  if (seed.defined()) {
    SIGMA_CHECK(seed.shape() == output.shape(), "backward", "expected a seed of shape {}, got {}",
                output.shape().str(), seed.shape().str());
    SIGMA_CHECK(seed.dtype() == output.dtype(), "backward", "expected a {} seed, got {}",
                name_of(output.dtype()), name_of(seed.dtype()));
    return seed;
  }
  SIGMA_CHECK(output.numel() == 1, "backward", "expected an output of one element, got {}; pass a seed",
              output.shape().str());
  SIGMA_CHECK(!is_complex(output.dtype()), "backward",
              "expected a real output, got {}; take real() of it or pass a seed", name_of(output.dtype()));
  return Variable(Tensor::full(output.shape(), 1.0, output.dtype()));
}

}  // namespace

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

void Variable::backward(const Tensor& seed, BackwardOptions options) const {
  SIGMA_CHECK(requires_grad(), "backward", "the output does not depend on anything that requires a gradient");
  Engine engine(options.retain_graph, false);
  engine.seed(*this, seed_for(*this, seed.defined() ? Variable(seed) : Variable()));
  engine.run();
  engine.deliver();
}

Variables grad(const Variables& outputs, const Variables& inputs, const Variables& seeds,
               GradOptions options) {
  Engine engine(options.retain_graph, options.create_graph);
  for (const Variable& v : inputs) {
    SIGMA_CHECK(v.requires_grad(), "grad", "an input does not require a gradient");
    engine.watch(v);
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    engine.seed(outputs[i], seed_for(outputs[i], i < seeds.size() ? seeds[i] : Variable()));
  engine.run();
  Variables result;
  for (const Variable& v : inputs) {
    result.push_back(engine.result(v));
    SIGMA_CHECK(result.back().defined() || options.allow_unused, "grad",
                "an output does not depend on input {}", result.size() - 1);
  }
  return result;
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
