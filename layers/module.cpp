#include "layers/module.h"

#include <algorithm>
#include <set>

namespace sigma {
namespace {

// An Error on its way out of nested calls, on this thread: the module it left last, and the path below it of
// the layer that threw it.
struct Leaving {
  const void* error = nullptr;
  std::string message;
  const Module* last = nullptr;
  std::string path;
};
thread_local Leaving leaving;
thread_local int depth = 0;  // of nested calls

struct Depth {
  Depth() { ++depth; }
  ~Depth() { --depth; }
};

// "[conv2d] expected" and "layer1.0" to "[conv2d] layer1.0: expected"; anything else stays.
std::string with_path(const std::string& message, const std::string& path) {
  const size_t end = message.rfind('[', 0) == 0 ? message.find("] ") : std::string::npos;
  if (path.empty() || end == std::string::npos) return message;
  return message.substr(0, end + 2) + path + ": " + message.substr(end + 2);
}

void once(std::set<const Module*>& seen, const std::function<void(const std::string&, Module&)>& fn,
          const std::string& path, Module& m) {
  if (!seen.insert(&m).second) return;
  fn(path, m);
  for (size_t i = 0; i < m.named_children().size(); ++i) {
    const Child child = m.named_children()[i];  // fn may replace it
    once(seen, fn, join_path(path, child.first), *child.second);
  }
}

// The first of each Variable.
NamedVariables distinct(NamedVariables all) {
  std::set<const VariableState*> seen;
  std::erase_if(all, [&](const auto& item) { return !seen.insert(item.second.state()).second; });
  return all;
}

}  // namespace

void Module::pass_on(const Error& e) {
  const bool same = leaving.error == &e && leaving.message == e.what();
  std::string path;
  if (same && leaving.last != this) {
    visit([&](const std::string& p, Module& m) {
      if (&m == leaving.last) path = p;
    });
    if (!leaving.path.empty()) path = join_path(path, leaving.path);
  } else if (same) {
    path = leaving.path;
  }
  if (depth > 1) {
    leaving = {&e, e.what(), this, path};
    throw;
  }
  leaving = {};
  const std::string message = with_path(e.what(), path);
  if (message == e.what()) throw;
  throw Error(e.kind(), message);
}

Variable Module::operator()(const Variable& x) {
  Variable y;
  {
    Depth scope;
    try {
      y = forward(x);
    } catch (const Error& e) { pass_on(e); }
  }
  run_hooks(x, y);
  return y;
}

Variable Module::operator()(const Variables& inputs) {
  Variable y = run_as_layer([&] { return inputs.size() == 1 ? forward(inputs[0]) : forward_inputs(inputs); });
  run_hooks(inputs.empty() ? Variable() : inputs[0], y);
  return y;
}

Variable Module::run_as_layer(const std::function<Variable()>& fn) {
  Depth scope;
  try {
    return fn();
  } catch (const Error& e) { pass_on(e); }
}

void Module::run_hooks(const Variable& x, const Variable& y) const {
  if (!has_forward_hooks()) return;
  const auto list = hooks_->list;  // a hook may add or remove some
  for (auto& [id, hook] : list) hook(*this, x, y);
}

Variable Module::forward(const Variable&) { throw_check(kind(), "expected several inputs, got 1"); }

Variable Module::forward_inputs(const Variables& inputs) {
  throw_check(kind(), fmt::format("expected 1 input, got {}", inputs.size()));
}

void Module::visit(const Visitor& fn, const std::string& prefix) {
  std::set<const Module*> seen;
  once(seen, fn, prefix, *this);
}

void Module::visit_all(const Visitor& fn, const std::string& prefix) {
  fn(prefix, *this);
  for (auto& [name, child] : children_) child->visit_all(fn, join_path(prefix, name));
}

Module* Module::find(const std::string& path) {
  Module* m = this;
  if (path.empty()) return m;
  for (size_t at = 0; at <= path.size() && m;) {
    const size_t end = std::min(path.find('.', at), path.size());
    const std::string name = path.substr(at, end - at);
    auto child = std::find_if(m->children_.begin(), m->children_.end(),
                              [&](const Child& c) { return c.first == name; });
    m = child == m->children_.end() ? nullptr : child->second.get();
    at = end + 1;
  }
  return m;
}

Module& Module::train(bool on) {
  visit([on](const std::string&, Module& m) { m.training_ = on && !m.frozen_; });
  return *this;
}

Module& Module::requires_grad_(bool on) {
  for (Variable& p : parameters()) p.set_requires_grad(on);
  return *this;
}

Module& Module::freeze(bool on) {
  visit([on](const std::string&, Module& m) {
    m.frozen_ = on;
    if (on) m.training_ = false;
  });
  return requires_grad_(!on);
}

Module& Module::to(DType dtype) {
  SIGMA_CHECK(dtype == DType::float32 || dtype == DType::float64, "to", "expected float32 or float64, got {}",
              name_of(dtype));
  visit([dtype](const std::string&, Module& m) {
    for (auto* list : {&m.parameters_, &m.buffers_})
      for (auto& [name, v] : *list)
        if (is_floating(v.dtype())) v.mutable_value() = v.value().to(dtype);
    for (auto& [name, v] : m.parameters_) v.zero_grad();
  });
  return *this;
}

void Module::zero_grad() {
  for (Variable& p : parameters()) p.zero_grad();
}

void Module::set_step(uint64_t step) {
  visit([step](const std::string&, Module& m) { m.start_step(step); });
}

NamedVariables Module::named_parameters() const {
  NamedVariables all;
  const_cast<Module*>(this)->visit([&](const std::string& path, Module& m) {
    for (auto& [name, v] : m.parameters_) all.emplace_back(join_path(path, name), v);
  });
  return distinct(std::move(all));
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, v] : named_parameters()) all.push_back(v);
  return all;
}

NamedVariables Module::named_buffers() const {
  NamedVariables all;
  const_cast<Module*>(this)->visit([&](const std::string& path, Module& m) {
    for (auto& [name, v] : m.buffers_) all.emplace_back(join_path(path, name), v);
  });
  return distinct(std::move(all));
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Variable& p : parameters()) count += p.numel();
  return count;
}

StateDict Module::state_dict() const {
  StateDict state;
  const_cast<Module*>(this)->visit_all(
      [&](const std::string& path, Module& m) {
        for (auto* list : {&m.parameters_, &m.buffers_})
          for (auto& [name, v] : *list) state.items.emplace_back(join_path(path, name), v.value());
      },
      "");
  return state;
}

void Module::load_state_dict(StateDict state, bool strict) {
  NamedVariables own;
  visit_all(
      [&](const std::string& path, Module& m) {
        m.upgrade_state(path, state);
        for (auto* list : {&m.parameters_, &m.buffers_})
          for (auto& [name, v] : *list) own.emplace_back(join_path(path, name), v);
      },
      "");
  std::string wrong;
  std::set<std::string> known;
  std::vector<std::pair<Variable, const Tensor*>> copies;
  for (auto& [name, v] : own) {
    known.insert(name);
    const Tensor* t = state.find(name);
    if (!t) {
      if (strict) wrong += fmt::format("; missing {}", name);
    } else if (!(t->shape() == v.shape())) {
      wrong += fmt::format("; {} has shape {}, expected {}", name, t->shape().str(), v.shape().str());
    } else {
      copies.emplace_back(v, t);
    }
  }
  if (strict)
    for (auto& [name, t] : state.items)
      if (!known.count(name)) wrong += fmt::format("; unknown {}", name);
  if (!wrong.empty())
    fail(ErrorKind::checkpoint, "load_state_dict", "the weights do not fit this model: {}", wrong.substr(2));
  for (auto& [v, t] : copies) v.mutable_value().copy_(*t);
}

void Module::replace_child(size_t index, ModulePtr child) {
  SIGMA_CHECK(index < children_.size() && child, "replace_child", "expected one of {} children and a module",
              children_.size());
  SIGMA_CHECK(replaces_children(), "replace_child",
              "{} may keep a pointer to its layer \"{}\"; only a layer within a Sequential or another module "
              "that answers replaces_children() can be replaced",
              kind(), children_[index].first);
  children_[index].second = std::move(child);
}

size_t Module::register_forward_hook(ForwardHook hook) {
  if (!hooks_) hooks_ = std::make_shared<Hooks>();
  hooks_->list.emplace_back(hooks_->next, std::move(hook));
  return hooks_->next++;
}

void Module::remove_forward_hook(size_t id) {
  if (hooks_) std::erase_if(hooks_->list, [id](const auto& h) { return h.first == id; });
}

void ScopedHooks::add(Module& module, Module::ForwardHook hook) {
  const size_t id = module.register_forward_hook(std::move(hook));
  hooks_.emplace_back(module.hooks_, id);
}

ScopedHooks::~ScopedHooks() {
  for (auto& [hooks, id] : hooks_)
    if (auto alive = hooks.lock())
      std::erase_if(alive->list, [number = id](const auto& h) { return h.first == number; });
}

ScopedMode::ScopedMode(Module& module) {
  module.visit([this](const std::string&, Module& m) { modes_.emplace_back(&m, m.training_); });
}
ScopedMode::~ScopedMode() {
  for (auto& [m, training] : modes_) m->training_ = training;
}

void Module::check_name(const std::string& name) const {
  SIGMA_CHECK(!name.empty() && name.find('.') == std::string::npos, "module",
              "expected a name without dots, got \"{}\"", name);
  auto taken = [&](const auto& list) {
    return std::any_of(list.begin(), list.end(), [&](const auto& item) { return item.first == name; });
  };
  SIGMA_CHECK(!taken(parameters_) && !taken(buffers_) && !taken(children_), "module",
              "the name \"{}\" is used twice", name);
}

Variable Module::register_parameter(const std::string& name, Tensor value) {
  return register_parameter(name, Variable(std::move(value), true));
}

Variable Module::register_parameter(const std::string& name, Variable shared) {
  check_name(name);
  SIGMA_CHECK(shared.defined() && shared.is_leaf(), "module", "expected a leaf as the parameter \"{}\"",
              name);
  parameters_.emplace_back(name, std::move(shared));
  return parameters_.back().second;
}

Variable Module::register_buffer(const std::string& name, Tensor value) {
  check_name(name);
  buffers_.emplace_back(name, Variable(std::move(value)));
  return buffers_.back().second;
}

void Module::add_child(const std::string& name, ModulePtr child) {
  check_name(name);
  SIGMA_CHECK(child != nullptr, "module", "the child \"{}\" is null", name);
  child->visit([&](const std::string&, Module& m) {
    SIGMA_CHECK(&m != this, "module", "the child \"{}\" has its parent among its own children", name);
  });
  children_.emplace_back(name, std::move(child));
}

void initialize(Module& module, uint64_t seed) {
  module.visit([seed](const std::string& path, Module& m) { m.reset_parameters(seed, path); });
}

DecayGroups split_decay(Module& module) {
  DecayGroups groups;
  std::set<const VariableState*> seen;
  module.visit([&](const std::string&, Module& m) {
    for (auto& [name, v] : m.own_parameters())
      if (seen.insert(v.state()).second) (m.decays(name) ? groups.decay : groups.no_decay).push_back(v);
  });
  return groups;
}

}  // namespace sigma
