// Module: a layer or a network. It names parameters and buffers, holds options, and calls a function.
//
// To write a layer: derive from Module, call register_parameter / register_buffer / register_module in the
// constructor, implement forward and kind, and draw initial values in reset_parameters.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "autograd/node.h"
#include "autograd/variable.h"

namespace sigma {

class Module;
using ModulePtr = std::shared_ptr<Module>;

// Parameters and buffers by dotted path, in PyTorch's order. `version` is the layout's: files older than 2
// may lack num_batches_tracked.
struct StateDict {
  std::vector<std::pair<std::string, Tensor>> items;
  int version = 2;

  const Tensor* find(const std::string& name) const {
    for (const auto& [key, value] : items)
      if (key == name) return &value;
    return nullptr;
  }
};

class Module {
 public:
  using ForwardHook = std::function<void(const Module&, const Variable& input, const Variable& output)>;

  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;  // clone = construct + load_state_dict
  Module& operator=(const Module&) = delete;

  // The computation, with the forward hooks.
  Variable operator()(const Variable& x);
  virtual Variable forward(const Variable& x) = 0;

  virtual std::string kind() const = 0;                           // "Conv2d"
  virtual std::string describe() const { return kind() + "()"; }  // PyTorch's repr of one layer
  // Multiply-accumulates of one forward pass from `in` to `out`, children not counted.
  virtual int64_t macs(const Shape& /*in*/, const Shape& /*out*/) const { return 0; }
  // Whether weight decay usually applies to a parameter of this layer; biases and normalization layers say
  // no.
  virtual bool decays(const std::string& parameter) const { return parameter != "bias"; }
  // Whether forward runs the children one after the other, in the order they were registered (see fold.h).
  virtual bool is_chain() const { return false; }
  // Draws initial values from streams named after `path`. Containers do nothing; initialize() visits every
  // module.
  virtual void reset_parameters(uint64_t /*seed*/, const std::string& /*path*/) {}
  // Layers that draw random numbers in forward (dropout) restart their stream at a training step, for exact
  // resume.
  virtual void set_step(uint64_t /*step*/) {}

  Module& train(bool on = true);  // this and all below
  Module& eval() { return train(false); }
  bool is_training() const { return training_; }
  Module& to(DType dtype);  // floating-point parameters and buffers
  void zero_grad();

  std::vector<std::pair<std::string, Variable>> named_parameters() const;
  std::vector<Variable> parameters() const;
  std::vector<std::pair<std::string, Variable>> named_buffers() const;
  const std::vector<std::pair<std::string, ModulePtr>>& named_children() const { return children_; }
  void replace_child(size_t index, ModulePtr child) { children_.at(index).second = std::move(child); }
  // Every module from this one (path "") down, parents first.
  void visit(const std::function<void(const std::string& path, Module&)>& fn, const std::string& prefix = "");
  Module* find(const std::string& path);  // null when there is none
  int64_t parameter_count() const;

  StateDict state_dict() const;
  // Copies values in; dtypes convert. Strict: a missing, unknown or misshapen name is an Error of kind
  // checkpoint that lists them, before anything is changed.
  void load_state_dict(StateDict state, bool strict = true);

  // Returns a number for remove_forward_hook.
  size_t register_forward_hook(ForwardHook hook);
  void remove_forward_hook(size_t id);
  bool has_forward_hooks() const { return !hooks_.empty(); }

 protected:
  Variable register_parameter(const std::string& name, Tensor value);
  Variable register_buffer(const std::string& name, Tensor value);
  template <class M>
  std::shared_ptr<M> register_module(const std::string& name, std::shared_ptr<M> child) {
    add_child(name, child);
    return child;
  }
  // Called before loading, for files of older versions.
  virtual void upgrade_state(const std::string& /*prefix*/, StateDict& /*state*/) const {}

 private:
  void add_child(const std::string& name, ModulePtr child);
  void check_name(const std::string& name) const;

  std::vector<std::pair<std::string, Variable>> parameters_, buffers_;
  std::vector<std::pair<std::string, ModulePtr>> children_;
  std::vector<std::pair<size_t, ForwardHook>> hooks_;
  size_t next_hook_ = 0;
  bool training_ = true;
};

// Draws all initial values anew. Each parameter has a stream of its own, named by its path, so adding or
// removing one layer moves no other layer's weights.
void initialize(Module& module, uint64_t seed);

// Parameters with and without weight decay (see Module::decays).
struct DecayGroups {
  std::vector<Variable> decay, no_decay;
};
DecayGroups split_decay(Module& module);

inline std::string join_path(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

// A height and a width; one number stands for both.
struct Pair {
  int64_t h, w;
  Pair(int64_t both) : h(both), w(both) {}  // NOLINT: implicit on purpose, {.kernel = 3}
  Pair(int64_t height, int64_t width) : h(height), w(width) {}
  std::string str() const { return fmt::format("({}, {})", h, w); }
  bool operator==(const Pair&) const = default;
};

}  // namespace sigma
