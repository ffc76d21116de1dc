// Module: a layer or a network. It names parameters and buffers, holds options, and calls a function.
//
// To write a layer: derive from Module, call register_parameter / register_buffer / register_module in the
// constructor, implement forward and kind, and draw initial values in reset_parameters. A layer with weights
// that is an affine map derives from AffineLayer (affine.h) instead, and is then compressed, folded and
// measured like any other.
//
// What passes over networks need they ask for by the virtual answers below; none knows a layer's class.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/node.h"
#include "autograd/variable.h"
#include "layers/pair.h"
#include "layers/role.h"

namespace sigma {

class AffineLayer;
class ChannelNorm;
class Module;
using ModulePtr = std::shared_ptr<Module>;
using Child = std::pair<std::string, ModulePtr>;
using NamedVariables = std::vector<std::pair<std::string, Variable>>;

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
  // From and to what files hold; the tensors are shared.
  static StateDict of(const std::map<std::string, Tensor>& tensors) {
    return {{tensors.begin(), tensors.end()}};
  }
  std::map<std::string, Tensor> by_name() const { return {items.begin(), items.end()}; }
};

class Module {
 public:
  // Called after each forward pass; of a module of several inputs, with the first.
  using ForwardHook = std::function<void(const Module&, const Variable& input, const Variable& output)>;

  virtual ~Module() = default;
  Module() = default;
  Module(const Module&) = delete;  // clone = construct + load_state_dict
  Module& operator=(const Module&) = delete;

  // The computation, with the forward hooks. An Error of kind usage that comes out of it names the layer that
  // threw it, by its path from the outermost module called: "[conv2d] layer1.0.conv1: expected 16 channels".
  Variable operator()(const Variable& x);
  Variable operator()(const Variables& inputs);
  template <class... More>
  Variable operator()(const Variable& a, const Variable& b, const More&... more) {
    return (*this)(Variables{a, b, more...});
  }
  // A layer implements one of the two; the other refuses what does not fit. `forward_inputs` is for modules
  // of several inputs.
  virtual Variable forward(const Variable& x);
  virtual Variable forward_inputs(const Variables& inputs);

  virtual std::string kind() const = 0;                           // "Conv2d"
  virtual std::string describe() const { return kind() + "()"; }  // PyTorch's repr of one layer
  // Multiply-accumulates of one forward pass from `in` to `out`, children not counted. A scaling that folds
  // into the layer before it counts as none, as everywhere in the field.
  virtual int64_t macs(const Shape& /*in*/, const Shape& /*out*/) const { return 0; }
  // Whether weight decay usually applies to a parameter of this layer; biases and normalization layers say
  // no.
  virtual bool decays(const std::string& parameter) const { return parameter != "bias"; }
  // Draws initial values from streams named after `path`. Containers do nothing; initialize() visits every
  // module.
  virtual void reset_parameters(uint64_t /*seed*/, const std::string& /*path*/) {}

  // Answers for passes.
  virtual AffineLayer* affine() { return nullptr; }  // this, when it is an affine map (affine.h)
  virtual ChannelNorm* channel_norm() {
    return nullptr;
  }  // this, when it normalizes channels (channel_norm.h)
  const AffineLayer* affine() const { return const_cast<Module*>(this)->affine(); }
  const ChannelNorm* channel_norm() const { return const_cast<Module*>(this)->channel_norm(); }
  virtual Role role() const { return Role::none; }
  // The children that forward runs one after the other, each on what the one before it gave: all of a
  // Sequential, the body of a residual block. Needs replaces_children.
  virtual std::span<const Child> chain() const { return {}; }
  // Whether a pass may put another layer in a child's place: forward must look its children up in
  // named_children() each time. False where a class keeps pointers of its own to them: it would go on with
  // the old ones.
  virtual bool replaces_children() const { return false; }

  Module& train(bool on = true);  // this and all below, but for what is frozen
  Module& eval() { return train(false); }
  bool is_training() const { return training_; }
  // Whether gradients of the parameters of this and all below are wanted.
  Module& requires_grad_(bool on);
  // As they are: no gradients for parameters, eval mode whatever train() says, so that the statistics of
  // batch norms keep every bit. freeze(false) takes it back; the mode stays eval until train().
  Module& freeze(bool on = true);
  bool is_frozen() const { return frozen_; }
  Module& to(DType dtype);  // floating-point parameters and buffers
  void zero_grad();
  // Layers that draw random numbers in forward (dropout), this and all below, restart their streams at a
  // training step, for exact resume.
  void set_step(uint64_t step);

  // What is shared, a module under two names or one Variable in two modules, is listed once, under its first
  // name. Paths are those of `visit`.
  NamedVariables named_parameters() const;
  std::vector<Variable> parameters() const;
  NamedVariables named_buffers() const;
  const NamedVariables& own_parameters() const { return parameters_; }  // without the children's
  const NamedVariables& own_buffers() const { return buffers_; }        // the same
  const std::vector<Child>& named_children() const { return children_; }
  // Throws unless replaces_children().
  void replace_child(size_t index, ModulePtr child);
  // Every module from this one (path "") down, parents first; a module that is shared once, at its first
  // path.
  void visit(const std::function<void(const std::string& path, Module&)>& fn, const std::string& prefix = "");
  Module* find(const std::string& path);  // null when there is none
  int64_t parameter_count() const;

  // What is shared has all its names here, as in PyTorch.
  StateDict state_dict() const;
  // Copies values in; dtypes convert. Strict: a missing, unknown or misshapen name is an Error of kind
  // checkpoint that lists them, before anything is changed.
  void load_state_dict(StateDict state, bool strict = true);

  // Returns a number for remove_forward_hook. ScopedHooks removes by itself.
  size_t register_forward_hook(ForwardHook hook);
  void remove_forward_hook(size_t id);
  bool has_forward_hooks() const { return hooks_ && !hooks_->list.empty(); }

  // For code that computes a layer without operator(): errors in `fn` are this layer's.
  Variable run_as_layer(const std::function<Variable()>& fn);

 protected:
  Variable register_parameter(const std::string& name, Tensor value);
  Variable register_parameter(const std::string& name, Variable shared);  // of another module too
  Variable register_buffer(const std::string& name, Tensor value);
  template <class M>
  std::shared_ptr<M> register_module(const std::string& name, std::shared_ptr<M> child) {
    add_child(name, child);
    return child;
  }
  // Called before loading, for files of older versions.
  virtual void upgrade_state(const std::string& /*prefix*/, StateDict& /*state*/) const {}
  // See set_step.
  virtual void start_step(uint64_t /*step*/) {}

 private:
  friend class ScopedHooks;
  friend class ScopedMode;
  struct Hooks {
    std::vector<std::pair<size_t, ForwardHook>> list;
    size_t next = 0;
  };
  using Visitor = std::function<void(const std::string&, Module&)>;

  void visit_all(const Visitor& fn, const std::string& prefix);  // shared ones at each of their paths
  void add_child(const std::string& name, ModulePtr child);
  void check_name(const std::string& name) const;
  void run_hooks(const Variable& x, const Variable& y) const;
  [[noreturn]] void pass_on(const Error& e);

  NamedVariables parameters_, buffers_;
  std::vector<Child> children_;
  std::shared_ptr<Hooks> hooks_;
  bool training_ = true;
  bool frozen_ = false;
};

// Forward hooks that are removed at the end of the scope, however it is left.
class ScopedHooks {
 public:
  ScopedHooks() = default;
  ScopedHooks(const ScopedHooks&) = delete;
  ScopedHooks& operator=(const ScopedHooks&) = delete;
  ~ScopedHooks();
  void add(Module& module, Module::ForwardHook hook);

 private:
  std::vector<std::pair<std::weak_ptr<Module::Hooks>, size_t>> hooks_;
};

// The mode, training or eval, of a module and all below, put back at the end of the scope.
class ScopedMode {
 public:
  explicit ScopedMode(Module& module);
  ScopedMode(const ScopedMode&) = delete;
  ScopedMode& operator=(const ScopedMode&) = delete;
  ~ScopedMode();

 private:
  std::vector<std::pair<Module*, bool>> modes_;
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

}  // namespace sigma
