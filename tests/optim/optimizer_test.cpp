// What all optimizers share: groups, schedules, state by name, parameters that are listed twice, the table.
#include "optim/optimizers.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "core/parallel.h"
#include "core/safetensors.h"
#include "layers/layers.h"
#include "optim/clip.h"
#include "optim/lr_schedule.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;

namespace {

Variable parameter(const Shape& shape, uint64_t seed, DType dtype = DType::float64) {
  return Variable(test::randn(shape, seed, dtype), true);
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const OptimizerEntry& e : optimizer_table()) all.push_back(e.name);
  return all;
}
void give(const std::vector<Variable>& parameters, uint64_t seed) {
  for (Variable p : parameters) p.set_grad(test::randn(p.shape(), seed++, p.dtype()));
}

}  // namespace

TEST_CASE("a parameter that is listed twice is stepped once", "[optim]") {
  for (const std::string& name : names()) {
    INFO(name);
    Variable once = parameter({3, 2}, 1), twice = parameter({3, 2}, 1);
    auto single = make_optimizer(name, {group_of({once}, 0.1, 0.01)});
    ParameterGroup a{{{"a.weight", twice}, {"b.weight", twice}}, 0.1, 0.01},
        b{{{"c.weight", twice}}, 0.1, 0.01};
    auto shared = make_optimizer(name, {a, b});
    for (uint64_t step = 0; step < 3; ++step) {
      give({once, twice}, step);
      twice.set_grad(once.grad());
      single->step();
      shared->step();
      CHECK(identical(once.value(), twice.value()));
    }
    for (auto& [key, t] : shared->state_dict()) CHECK(contains(key, ".a.weight"));
    b.lr = 0.2;
    CHECK(contains(error_of([&] { make_optimizer(name, {a, b}); }), "in two groups of different rates"));
  }
  Variable v = parameter({2}, 1);
  v.set_grad(Tensor::from<double>({3, 4}, {2}));
  CHECK(clip_grad_norm({v, v}, 10) == 5);
  CHECK(contains(error_of([&] { SGD({{{{"w", v}, {"w", parameter({2}, 2)}}}}, {}); }), "have the name w"));
  CHECK(contains(error_of([&] { SGD({{{{"w", Variable()}}}}, {}); }), "w is undefined"));
}

TEST_CASE("a schedule sets each group's rate as a function of its own", "[optim]") {
  LrSchedule cosine{.kind = Schedule::cosine, .total_steps = 100};
  for (const std::string& name : names()) {
    auto o = make_optimizer(name, {group_of({parameter({1}, 1)}, 0.4), group_of({parameter({1}, 2)}, 0.1)});
    CHECK(o->lr(0) == 0.4);
    CHECK(o->lr(1) == 0.1);
    for (int64_t step : {0, 7, 50, 99}) {
      o->set_lr(cosine, step);
      CHECK(o->lr(0) == cosine.at(step, 0.4));
      CHECK(o->lr(1) == cosine.at(step, 0.1));
    }
    o->set_lr(0.3);
    CHECK(o->lr(0) == 0.3);
    CHECK(o->lr(1) == 0.3);
    CHECK(o->groups()[1].lr == 0.1);  // its own is kept
  }
}

TEST_CASE("state goes through a file and continues to the same bits, for every optimizer", "[optim]") {
  for (const std::string& name : names())
    for (DType dtype : {DType::float32, DType::float64}) {
      INFO(name << " " << name_of(dtype));
      auto make = [&] {
        return std::vector<std::pair<std::string, Variable>>{
            {"conv.weight", Variable(test::randn({2, 3, 2, 2}, 1, dtype).to(Layout::channels_last), true)},
            {"conv.bias", parameter({2}, 2, dtype)},
            {"idle", parameter({4}, 3, dtype)}};
      };
      auto p = make(), q = make();
      auto one = make_optimizer(name, {{p, 0.1, 0.01}}), two = make_optimizer(name, {{q, 0.1, 0.01}});
      auto step = [](Optimizer& o, std::vector<std::pair<std::string, Variable>>& list, uint64_t seed) {
        give({list[0].second, list[1].second}, seed);
        o.step();
        o.zero_grad();
      };
      CHECK(one->state_dict().empty());
      for (uint64_t s : {10, 20, 30}) step(*one, p, s);
      SafeTensors file;
      file.tensors = one->state_dict();
      for (auto& [key, t] : file.tensors) t = t.contiguous();
      CHECK_FALSE(file.tensors.empty());
      for (auto& [key, t] : file.tensors) CHECK_FALSE(contains(key, "idle"));
      std::string bytes = serialize_safetensors(file);
      for (size_t i = 0; i < p.size(); ++i) q[i].second.mutable_value().copy_(p[i].second.value());
      two->load_state_dict(parse_safetensors(Bytes(bytes.begin(), bytes.end()), "memory").tensors);
      for (auto& [key, t] : one->state_dict()) CHECK(identical(t, two->state_dict().at(key)));
      for (uint64_t s : {40, 50}) {
        step(*one, p, s);
        step(*two, q, s);
      }
      for (size_t i = 0; i < p.size(); ++i) CHECK(identical(p[i].second.value(), q[i].second.value()));
      // A parameter that takes part has all of its state or none.
      CHECK(contains(error_of([&] { two->load_state_dict(file.tensors, true); }), ".idle is missing"));
      q[2].second.set_requires_grad(false);
      CHECK_NOTHROW(two->load_state_dict(file.tensors, true));
      Optimizer::State some = file.tensors;
      some.erase(some.begin());
      CHECK(contains(error_of([&] { two->load_state_dict(some, true); }), "is missing"));
    }
}

TEST_CASE("every optimizer makes the same bits for any number of threads and lowers a loss", "[optim]") {
  struct Restore {
    int before;
    ~Restore() { set_num_threads(before); }
  } restore{num_threads()};
  for (const std::string& name : names()) {
    INFO(name);
    std::vector<Tensor> results;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      std::vector<Variable> p{parameter({70001}, 1, DType::float32), parameter({3}, 2, DType::float32),
                              parameter({70, 129}, 3, DType::float32)};
      const double rate = name == "muon" ? 0.2 : 0.01;  // of which a vector gets a twentieth
      auto o = make_optimizer(name, {group_of(p, rate, 0.1)});
      const double before = norm2(p[0].value());
      for (int step = 0; step < 20; ++step) {
        for (Variable& v : p) v.set_grad(v.value().clone());  // of half the squared norm
        o->step();
      }
      CHECK(norm2(p[0].value()) < 0.95 * before);
      results.push_back(cat({p[0].value(), p[2].value().reshape({-1})}, 0));
    }
    CHECK(identical(results[0], results[1]));
    CHECK(identical(results[0], results[2]));
  }
}

TEST_CASE("the table of optimizers knows names, defaults and ranges", "[optim]") {
  std::vector<std::string> all = names();
  CHECK(std::is_sorted(all.begin(), all.end()));
  CHECK(optimizer_entry("sgd").hyper.at(0).name == "momentum");
  CHECK(checked_values("sgd", {}) == HyperValues{{"momentum", 0.9}, {"nesterov", 0}});
  CHECK(checked_values("sgd", {{"momentum", 0.5}}).at("momentum") == 0.5);
  auto refused = [](const std::string& name, const HyperValues& values, const std::string& message) {
    std::string error = error_of([&] { make_optimizer(name, {}, values); });
    INFO(error);
    CHECK(contains(error, message));
  };
  refused("lion", {}, "optimizer: unknown name \"lion\", expected one of ");
  refused("sgd", {{"momentun", 0.5}}, "optimizer: sgd has no momentun");
  refused("sgd", {{"momentum", 1}}, "momentum: expected 0 to less than 1, got 1");
  refused("sgd", {{"momentum", NAN}}, "momentum: expected 0 to less than 1, got nan");
  refused("sgd", {{"nesterov", 2}}, "nesterov: expected 0 or 1, got 2");
  for (const OptimizerEntry& e : optimizer_table()) {
    INFO(e.name);
    CHECK_FALSE(e.about.empty());
    for (const HyperParameter& h : e.hyper) CHECK_FALSE(h.about.empty());
    CHECK(make_optimizer(e.name, {group_of({}, e.lr, e.weight_decay)})->state_dict().empty());
    Variable p(Tensor::zeros({2}, DType::int64));
    p.set_grad(Tensor::zeros({2}, DType::int64));
    CHECK(contains(error_of([&] { make_optimizer(e.name, {group_of({p}, 0.1)})->step(); }), "got int64"));
    for (double lr : {-1.0, double{INFINITY}, double{NAN}})
      CHECK(contains(error_of([&] { make_optimizer(e.name, {group_of({}, lr)}); }), "learning rate"));
  }
}

namespace {

// Sign descent, as a program of the user's would add it.
class SignDescent : public Optimizer {
 public:
  explicit SignDescent(std::vector<ParameterGroup> groups) : Optimizer("sign", std::move(groups)) {}
  std::string kind() const override { return "SignDescent"; }

 protected:
  std::vector<Slot> slots() const override { return {{"steps", Slot::Kind::count}}; }
  void update(const std::vector<Update>& updates) override {
    for (const Update& u : updates) {
      ++*u.data<int64_t>(0);
      Variable p = u.parameter;
      p.mutable_value() = sub(p.value(), scale(sign(u.gradient), u.lr));
    }
  }
};

}  // namespace

TEST_CASE("an optimizer of the user's own is known by name once registered", "[optim]") {
  static const OptimizerRegistration registration(
      {.name = "sign",
       .about = "the sign of the gradient",
       .make = [](std::vector<ParameterGroup> groups, const HyperValues&) -> std::unique_ptr<Optimizer> {
         return std::make_unique<SignDescent>(std::move(groups));
       }});
  Variable p(Tensor::from<double>({4, -4}, {2}), true);
  auto o = make_optimizer("sign", {group_of({p}, 0.5)});
  p.set_grad(Tensor::from<double>({3, -1}, {2}));
  o->step();
  CHECK(p.value().to_vector() == std::vector<double>{3.5, -3.5});
  CHECK(o->state_dict().at("steps.0").item() == 1);
  CHECK(contains(error_of([&] {
                   o->load_state_dict({{"steps.0", Tensor::scalar(0, DType::int64)}});
                 }),
                 "at least 1, got 0"));
  CHECK(contains(error_of([] { OptimizerRegistration({.name = "sign"}); }), "registered twice"));
}
