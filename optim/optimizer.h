// Optimizer: what all optimizers share - groups of named parameters with rates of their own, named state that
// checkpoints keep, steps over everything that has a gradient.
//
// To write an optimizer: derive from Optimizer in one header of this folder, say in `slots` what it keeps for
// each parameter, do the arithmetic in `update`, and register a maker at the end of the file (see sgd.h). Its
// line in optimizers.h makes it known by name.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace sigma {

struct LrSchedule;

struct ParameterGroup {
  std::vector<std::pair<std::string, Variable>> parameters;  // as Module::named_parameters gives them
  double lr = 0.01;         // the group's own rate, which schedules are functions of
  double weight_decay = 0;  // how it acts is the optimizer's
  // For optimizers that treat a matrix of weights as a whole (Muon): these parameters are updated element by
  // element all the same, such as the gains of a normalization. Parameters of fewer than two dimensions are
  // anyway.
  bool elementwise = false;
};

class Optimizer {
 public:
  using State = std::map<std::string, Tensor>;

  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  virtual std::string kind() const = 0;  // "SGD"

  // Updates every parameter that has a gradient.
  void step();
  void zero_grad();

  // The rates of the next steps: the same for all groups, or a function of each group's own, such as a
  // schedule's.
  void set_lr(double lr);
  void set_lr(const std::function<double(double own)>& rate);
  void set_lr(const LrSchedule& schedule, int64_t step);
  double lr(size_t group = 0) const { return rates_.at(group); }
  const std::vector<ParameterGroup>& groups() const { return groups_; }

  // What the optimizer keeps, by "<slot>.<parameter>", such as "velocity.fc1.weight"; nothing for parameters
  // that have never had a gradient. The tensors are the optimizer's own, not copies.
  State state_dict() const;
  // Takes copies, in the parameters' dtype and layout. Throws kind checkpoint, before anything is changed,
  // when a name is unknown, a shape or a type is another one, a value is not finite or below what it can be,
  // or a parameter has some of its slots and not all. With `complete` every parameter that requires a
  // gradient must have its slots, as after a step of all of them.
  void load_state_dict(const State& state, bool complete = false);

 protected:
  // One tensor that is kept for each parameter, shaped as it; or, of kind count, one int64 number of steps.
  struct Slot {
    enum class Kind : uint8_t { any, not_negative, count };
    std::string name;
    Kind kind = Kind::any;
  };
  // A parameter of a step.
  struct Update {
    double lr, weight_decay;
    Variable parameter;
    Tensor gradient;             // in the parameter's dtype and layout
    std::vector<Tensor>& state;  // in the order of the slots; zeros before the first step
    bool first;                  // of this parameter
    bool elementwise;            // see ParameterGroup; or of fewer than two dimensions
    template <class T>
    T* data(size_t slot) const {
      return state.at(slot).template mutable_data<T>();
    }
  };

  // `tag` opens messages: "sgd". A parameter that is listed twice is stepped once: the first place counts,
  // and a second one with another rate or decay is an error. Parameters without a name are named by number.
  Optimizer(std::string tag, std::vector<ParameterGroup> groups);

  virtual std::vector<Slot> slots() const = 0;
  // Of parameters that are updated element by element, in an optimizer that keeps something else for them.
  virtual std::vector<Slot> elementwise_slots() const { return slots(); }
  // The arithmetic. All parameters are float32 or float64, and each comes once.
  virtual void update(const std::vector<Update>& updates) = 0;

 private:
  struct Entry {
    std::string name;
    Variable parameter;
    size_t group;
    std::vector<Tensor> state;  // empty before the first step
  };
  bool is_elementwise(const Entry& entry) const {
    return groups_[entry.group].elementwise || entry.parameter.rank() < 2;
  }
  std::vector<Slot> slots_of(const Entry& entry) const {
    return is_elementwise(entry) ? elementwise_slots() : slots();
  }
  std::vector<Tensor> state_from(const Entry& entry, const State& state, bool complete) const;

  std::string tag_;
  std::vector<ParameterGroup> groups_;
  std::vector<double> rates_;
  std::vector<Entry> entries_;
};

// Parameters of one group.
inline ParameterGroup group_of(const std::vector<Variable>& parameters, double lr, double weight_decay = 0) {
  ParameterGroup group{{}, lr, weight_decay};
  for (const Variable& p : parameters) group.parameters.emplace_back("", p);
  return group;
}

}  // namespace sigma
