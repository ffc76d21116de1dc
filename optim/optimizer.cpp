#include "optim/optimizer.h"

#include <cmath>
#include <set>
#include <unordered_map>

#include "core/math.h"
#include "optim/lr_schedule.h"

namespace sigma {
namespace {

void check_rate(const std::string& tag, double lr) {
  SIGMA_CHECK(lr >= 0 && std::isfinite(lr), tag, "expected a learning rate of at least 0, got {}", lr);
}

bool any_below(const Tensor& t, double least) {
  for (double v : t.to_vector())
    if (v < least) return true;
  return false;
}

}  // namespace

Optimizer::Optimizer(std::string tag, std::vector<ParameterGroup> groups)
    : tag_(std::move(tag)), groups_(std::move(groups)) {
  std::unordered_map<const VariableState*, size_t> seen;  // place in entries_
  std::set<std::string> names;
  size_t number = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    ParameterGroup& group = groups_[g];
    check_rate(tag_, group.lr);
    SIGMA_CHECK(group.weight_decay >= 0 && std::isfinite(group.weight_decay), tag_,
                "expected weight_decay of at least 0, got {}", group.weight_decay);
    rates_.push_back(group.lr);
    for (auto& [name, p] : group.parameters) {
      if (name.empty()) name = std::to_string(number);
      ++number;
      SIGMA_CHECK(p.defined(), tag_, "the parameter {} is undefined", name);
      auto [place, is_new] = seen.emplace(p.state(), entries_.size());
      if (!is_new) {
        const ParameterGroup& other = groups_[entries_[place->second].group];
        SIGMA_CHECK(other.lr == group.lr && other.weight_decay == group.weight_decay &&
                        other.elementwise == group.elementwise,
                    tag_, "the parameter {} is in two groups of different rates or decays", name);
        continue;
      }
      SIGMA_CHECK(names.insert(name).second, tag_, "two parameters have the name {}", name);
      entries_.push_back({name, p, g, {}});
    }
  }
}

void Optimizer::step() {
  std::vector<Update> updates;
  for (Entry& e : entries_) {
    Variable& p = e.parameter;
    if (!p.grad().defined()) continue;
    SIGMA_CHECK(p.dtype() == DType::float32 || p.dtype() == DType::float64, tag_,
                "expected float32 or float64 parameters, got {} for {}", name_of(p.dtype()), e.name);
    SIGMA_CHECK(p.grad().shape() == p.shape() && p.grad().dtype() == p.dtype(), tag_,
                "expected a gradient {} {} for {}, got {} {}", name_of(p.dtype()), p.shape().str(), e.name,
                name_of(p.grad().dtype()), p.grad().shape().str());
    const bool first = e.state.empty();
    if (first)
      for (const Slot& slot : slots_of(e))
        e.state.push_back(slot.kind == Slot::Kind::count ? Tensor::zeros({}, DType::int64)
                                                         : Tensor::zeros_like(p.value()));
    updates.push_back({rates_[e.group], groups_[e.group].weight_decay, p, p.grad().to(p.value().layout()),
                       e.state, first, is_elementwise(e)});
  }
  update(updates);
}

void Optimizer::zero_grad() {
  for (Entry& e : entries_) e.parameter.zero_grad();
}

void Optimizer::set_lr(double lr) {
  set_lr([lr](double) { return lr; });
}

void Optimizer::set_lr(const std::function<double(double)>& rate) {
  std::vector<double> rates;
  for (const ParameterGroup& group : groups_) {
    rates.push_back(rate(group.lr));
    check_rate(tag_, rates.back());
  }
  rates_ = std::move(rates);
}

void Optimizer::set_lr(const LrSchedule& schedule, int64_t step) {
  set_lr([&](double own) { return schedule.at(step, own); });
}

Optimizer::State Optimizer::state_dict() const {
  State state;
  for (const Entry& e : entries_) {
    const std::vector<Slot> all = slots_of(e);
    for (size_t k = 0; k < e.state.size(); ++k) state.emplace(all[k].name + "." + e.name, e.state[k]);
  }
  return state;
}

std::vector<Tensor> Optimizer::state_from(const Entry& e, const State& state, bool complete) const {
  std::vector<Tensor> own;
  std::string missing;
  bool some = false;
  for (const Slot& slot : slots_of(e)) {
    const std::string name = slot.name + "." + e.name;
    auto it = state.find(name);
    if (it == state.end() || !it->second.defined()) {
      if (missing.empty()) missing = name;
      continue;
    }
    some = true;
    const Tensor& t = it->second;
    auto refuse = [&](const std::string& why) { fail(ErrorKind::checkpoint, tag_, "{}: {}", name, why); };
    if (slot.kind == Slot::Kind::count) {
      if (t.dtype() != DType::int64 || t.numel() != 1)
        refuse(fmt::format("expected one int64, got {} {}", name_of(t.dtype()), t.shape().str()));
      if (t.item() < 1) refuse(fmt::format("expected a number of steps of at least 1, got {}", t.item()));
      own.push_back(t.clone());
      continue;
    }
    const Variable& p = e.parameter;
    if (!is_floating(t.dtype()) || t.shape() != p.shape())
      refuse(fmt::format("expected {} {}, got {} {}", name_of(p.dtype()), p.shape().str(), name_of(t.dtype()),
                         t.shape().str()));
    if (!all_finite(t)) refuse("holds values that are not finite");
    if (slot.kind == Slot::Kind::not_negative && any_below(t, 0)) refuse("holds values below 0");
    own.push_back(t.to(p.dtype()).to(p.value().layout()).clone());
  }
  if (!missing.empty() && (some || (complete && e.parameter.requires_grad())))
    fail(ErrorKind::checkpoint, tag_, "{} is missing", missing);
  return own;
}

void Optimizer::load_state_dict(const State& state, bool complete) {
  std::set<std::string> known;
  std::vector<std::vector<Tensor>> own;  // replaced only when all fit
  for (const Entry& e : entries_) {
    own.push_back(state_from(e, state, complete));
    for (const Slot& slot : slots_of(e)) known.insert(slot.name + "." + e.name);
  }
  for (const auto& [name, t] : state)
    if (!known.count(name)) fail(ErrorKind::checkpoint, tag_, "{} is not of this optimizer", name);
  for (size_t i = 0; i < entries_.size(); ++i) entries_[i].state = std::move(own[i]);
}

}  // namespace sigma
