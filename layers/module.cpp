#include "layers/module.h"

#include <algorithm>
#include <set>

namespace sigma {

Variable Module::operator()(const Variable& x) {
  Variable y = forward(x);
  for (auto& [id, hook] : hooks_) hook(*this, x, y);
  return y;
}

void Module::visit(const std::function<void(const std::string&, Module&)>& fn, const std::string& prefix) {
  fn(prefix, *this);
  for (auto& [name, child] : children_) child->visit(fn, join_path(prefix, name));
}

Module* Module::find(const std::string& path) {
  Module* found = nullptr;
  visit([&](const std::string& p, Module& m) {
    if (p == path) found = &m;
  });
  return found;
}

Module& Module::train(bool on) {
  visit([on](const std::string&, Module& m) { m.training_ = on; });
  return *this;
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

std::vector<std::pair<std::string, Variable>> Module::named_parameters() const {
  std::vector<std::pair<std::string, Variable>> all;
  const_cast<Module*>(this)->visit([&](const std::string& path, Module& m) {
    for (auto& [name, v] : m.parameters_) all.emplace_back(join_path(path, name), v);
  });
  return all;
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, v] : named_parameters()) all.push_back(v);
  return all;
}

std::vector<std::pair<std::string, Variable>> Module::named_buffers() const {
  std::vector<std::pair<std::string, Variable>> all;
  const_cast<Module*>(this)->visit([&](const std::string& path, Module& m) {
    for (auto& [name, v] : m.buffers_) all.emplace_back(join_path(path, name), v);
  });
  return all;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Variable& p : parameters()) count += p.numel();
  return count;
}

StateDict Module::state_dict() const {
  StateDict state;
  const_cast<Module*>(this)->visit([&](const std::string& path, Module& m) {
    for (auto* list : {&m.parameters_, &m.buffers_})
      for (auto& [name, v] : *list) state.items.emplace_back(join_path(path, name), v.value());
  });
  return state;
}

void Module::load_state_dict(StateDict state, bool strict) {
  visit([&](const std::string& path, Module& m) { m.upgrade_state(path, state); });
  std::string wrong;
  std::set<std::string> known;
  std::vector<std::pair<Variable, const Tensor*>> copies;
  auto own = named_parameters();
  for (auto& b : named_buffers()) own.push_back(b);
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

size_t Module::register_forward_hook(ForwardHook hook) {
  hooks_.emplace_back(next_hook_, std::move(hook));
  return next_hook_++;
}

void Module::remove_forward_hook(size_t id) {
  std::erase_if(hooks_, [id](const auto& h) { return h.first == id; });
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
  check_name(name);
  parameters_.emplace_back(name, Variable(std::move(value), true));
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
  children_.emplace_back(name, std::move(child));
}

void initialize(Module& module, uint64_t seed) {
  module.visit([seed](const std::string& path, Module& m) { m.reset_parameters(seed, path); });
}

DecayGroups split_decay(Module& module) {
  DecayGroups groups;
  module.visit([&](const std::string& path, Module& m) {
    for (auto& [name, v] : m.named_parameters()) {
      if (name.find('.') != std::string::npos) continue;  // a child's; visited on its own
      (m.decays(name) ? groups.decay : groups.no_decay).push_back(v);
    }
    (void)path;
  });
  return groups;
}

}  // namespace sigma
