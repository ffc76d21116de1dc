// The backward pass: nodes in reverse order of their creation, each once all of its gradients have arrived.
#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "autograd/node.h"
#include "autograd/ops.h"
#include "core/math.h"

namespace sigma {
namespace {

// The node that runs on this thread, and which of its inputs' gradients are asked for.
struct Running {
  const Node* node = nullptr;
  const std::vector<bool>* asked = nullptr;
};
thread_local Running running;

class RunningScope {
 public:
  RunningScope(const Node* node, const std::vector<bool>* asked)
      : previous_(std::exchange(running, {node, asked})) {}
  ~RunningScope() { running = previous_; }
  RunningScope(const RunningScope&) = delete;
  RunningScope& operator=(const RunningScope&) = delete;

 private:
  Running previous_;
};

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

// One backward pass: to all leaves that require a gradient, or, once pruned, to what is watched.
class Engine {
 public:
  Engine(bool retain, bool create_graph) : retain_(retain || create_graph), create_graph_(create_graph) {}

  void seed(const Variable& output, const Variable& g) { send(edge_to(output), g); }
  // Asks for the gradient of a leaf or of an intermediate result to be kept.
  void watch(const Variable& v) {
    if (v.state()->grad_fn) {
      Watched& w = watched_[v.state()->grad_fn.get()];
      w.asked.resize(v.state()->grad_fn->output_shapes.size());
      w.asked[static_cast<size_t>(v.state()->output_index)] = true;
    } else {
      watched_leaves_.insert(v.state());
    }
  }

  // Finds which inputs of the nodes below `outputs` lead to what is watched; the others get no gradient.
  void prune(const Variables& outputs) {
    std::vector<Node*> nodes;
    auto visit = [&](Node* node) {
      if (node && asked_.try_emplace(node).second) nodes.push_back(node);
    };
    for (const Variable& v : outputs) visit(v.state()->grad_fn.get());
    for (size_t i = 0; i < nodes.size(); ++i)
      for (const Edge& e : nodes[i]->inputs) visit(e.node.get());
    // Inputs are older than what uses them.
    std::sort(nodes.begin(), nodes.end(), [](Node* a, Node* b) { return a->sequence < b->sequence; });
    for (Node* node : nodes) {
      std::vector<bool>& asked = asked_[node];
      asked.resize(node->inputs.size());
      for (size_t i = 0; i < asked.size(); ++i) asked[i] = leads_on(node->inputs[i]);
    }
    pruned_ = true;
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
      if (auto watched = watched_.find(node); watched != watched_.end()) watched->second.grads = item.grads;
      const std::vector<bool>* asked = pruned_ ? &asked_[node] : nullptr;
      if (asked && !any(*asked)) continue;
      SIGMA_CHECK(
          node->backward, "backward",
          "the graph of {} was already released; pass retain_graph to the first backward to run it again",
          node->name);
      const RunningScope scope(node, asked);
      Variables grads = node->backward(item.grads, *node);
      SIGMA_CHECK(grads.size() == node->inputs.size(), node->name, "backward gave {} gradients for {} inputs",
                  grads.size(), node->inputs.size());
      if (!retain_) node->backward = nullptr;
      for (size_t i = 0; i < grads.size(); ++i)
        if (grads[i].defined() && (!asked || (*asked)[i])) send(node->inputs[i], grads[i]);
    }
  }

  Variable result(const Variable& v) {
    if (v.state()->grad_fn) {
      const Variables& list = watched_[v.state()->grad_fn.get()].grads;
      auto i = static_cast<size_t>(v.state()->output_index);
      return i < list.size() ? list[i] : Variable();
    }
    auto it = leaves_.find(v.state());
    return it == leaves_.end() ? Variable() : it->second.second;
  }

  // Adds the gradients to the leaves' grad, after their hooks. All that can throw comes before the first leaf
  // is changed.
  void deliver() {
    std::vector<Tensor> sums;
    for (VariableState* leaf : order_) {
      const Tensor& g = leaves_[leaf].second.value();
      for (auto& hook : leaf->hooks) hook(g);
      Tensor arrived = g.to(leaf->value.layout());
      sums.push_back(leaf->grad.defined() ? add(leaf->grad, arrived) : arrived);
    }
    for (size_t i = 0; i < sums.size(); ++i) order_[i]->grad = std::move(sums[i]);
  }

 private:
  struct Watched {
    std::vector<bool> asked;  // which outputs
    Variables grads;          // of all, once they have arrived
  };

  static bool any(const std::vector<bool>& list) {
    return std::find(list.begin(), list.end(), true) != list.end();
  }
  bool leads_on(const Edge& e) const {
    if (e.leaf) return watched_leaves_.count(e.leaf.get()) != 0;
    if (!e.node) return false;
    auto w = watched_.find(e.node.get());
    return (w != watched_.end() && w->second.asked[static_cast<size_t>(e.index)]) ||
           any(asked_.at(e.node.get()));
  }

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

  bool retain_, create_graph_, pruned_ = false;
  std::priority_queue<Node*, std::vector<Node*>, LaterFirst> queue_;
  std::unordered_map<Node*, Pending> pending_;
  std::unordered_map<Node*, Watched> watched_;
  std::unordered_set<VariableState*> watched_leaves_;
  std::unordered_map<Node*, std::vector<bool>> asked_;
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
  for (const Variable& v : outputs)
    SIGMA_CHECK(v.defined(), "grad", "expected Variables as outputs, got an undefined one");
  engine.prune(outputs);
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

bool Node::asked(size_t input) const {
  return running.node != this || !running.asked || (*running.asked)[input];
}

}  // namespace sigma
