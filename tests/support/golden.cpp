#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>

#include "core/math.h"
#include "core/safetensors.h"
#include "tests/support/catch.h"

namespace sigma::test {

const Tensor& GoldenCase::operator[](const std::string& key) const {
  auto found = tensors.find(key);
  if (found == tensors.end()) throw std::runtime_error(name + ": no tensor " + key);
  return found->second;
}

Pair GoldenCase::pair(const std::string& key) const {
  return {options.at(key).at(0).get<int64_t>(), options.at(key).at(1).get<int64_t>()};
}

std::vector<GoldenCase> load_golden(const std::string& layer) {
  SafeTensors file = load_safetensors(SIGMA_SOURCE_DIR "/tests/golden/" + layer + ".safetensors");
  std::vector<GoldenCase> cases(file.metadata.size());
  for (auto& [index, options] : file.metadata)
    cases.at(std::stoul(index)) = {
        layer + " case " + index + " " + options, nlohmann::json::parse(options), {}};
  for (auto& [name, t] : file.tensors) {
    size_t slash = name.find('/');
    cases.at(std::stoul(name.substr(0, slash))).tensors[name.substr(slash + 1)] = t;
  }
  INFO(layer);
  REQUIRE(cases.size() >= 20);
  return cases;
}

Results run_golden(Module& module, const GoldenCase& c, DType dtype, Layout layout, Inputs inputs) {
  auto prepared = [&](const Tensor& t, bool cotangent) {
    bool whole = inputs == Inputs::absolute || inputs == Inputs::ones;
    if (inputs == Inputs::given || t.dtype() == DType::int64 || !(whole || cotangent)) return t.clone();
    bool ones = inputs == Inputs::ones || inputs == Inputs::ones_cotangent;
    return ones ? Tensor::full(t.shape(), 1, t.dtype()) : abs(t);
  };
  StateDict state;
  for (auto& [key, t] : c.tensors)
    if (key.rfind("p.", 0) == 0 || key.rfind("b.", 0) == 0)
      state.items.emplace_back(key.substr(2), prepared(t, false));
  module.to(dtype);
  module.load_state_dict(state);
  auto arrange = [&](Tensor t) { return t.rank() == 4 ? t.to(dtype).to(layout) : t.to(dtype); };
  Variable x(arrange(prepared(c["x"], false)), true);
  Variable y = module(x);
  REQUIRE(y.shape() == c["y"].shape());
  y.backward(arrange(prepared(c["g"], true)));
  Results results{{"y", y.value()}, {"dx", x.grad()}};
  for (auto& [name, p] : module.named_parameters()) results["dp." + name] = p.grad();
  for (auto& [name, b] : module.named_buffers()) results["a." + name] = b.value();
  return results;
}

void compare(const GoldenCase& c, DType dtype, const Results& results, const Bounds& bounds) {
  for (auto& [key, t] : c.tensors) {
    bool computed = key == "y" || key[0] == 'd' || key[0] == 'a' || key == "norm";
    if (computed && !results.count(key)) FAIL_CHECK("not compared: " << key);
  }
  for (auto& [key, actual] : results) {
    const Tensor& expected = c[key];
    INFO(key);
    REQUIRE(actual.defined());
    REQUIRE(actual.shape() == expected.shape());
    std::vector<double> got = actual.to_vector(), want = expected.to_vector();
    std::vector<double> bound = bounds.at(key);
    REQUIRE(bound.size() == got.size());
    if (dtype == DType::float64)
      for (size_t i = 0; i < bound.size(); ++i)
        bound[i] = std::min(bound[i], 1e-10 * (1 + std::abs(want[i])));
    std::string wrong;
    for (size_t i = 0; i < got.size() && wrong.empty(); ++i)
      if (!(std::abs(got[i] - want[i]) <= bound[i]))  // false for a NaN
        wrong = fmt::format("{}[{}] is {}, PyTorch has {}, off by {:.3g}, allowed {:.3g}", key, i, got[i],
                            want[i], std::abs(got[i] - want[i]), bound[i]);
    CHECK(wrong == "");
  }
}

void check_layer(const std::string& layer, const Maker& make, const BoundMaker& bounds) {
  for (const GoldenCase& c : load_golden(layer))
    for (DType dtype : {DType::float64, DType::float32}) {
      Bounds allowed = bounds(c, make, unit_roundoff(dtype));
      for (Layout layout : {Layout::contiguous, Layout::channels_last}) {
        if (layout == Layout::channels_last && c["x"].rank() != 4) continue;
        INFO(c.name << " " << name_of(dtype) << (layout == Layout::channels_last ? " channels_last" : ""));
        ModulePtr module = make(c);
        compare(c, dtype, run_golden(*module, c, dtype, layout), allowed);
      }
    }
}

BoundMaker linear_bounds(double min_terms, double max_terms) {
  return [=](const GoldenCase& c, const Maker& make, double u) {
    Results sums = run_golden(*make(c), c, DType::float64, Layout::contiguous, Inputs::absolute);
    Results terms = run_golden(*make(c), c, DType::float64, Layout::contiguous, Inputs::ones);
    Bounds bounds;
    for (auto& [key, sum] : sums) {
      std::vector<double> s = sum.to_vector(), k = terms.at(key).to_vector();
      for (size_t i = 0; i < s.size(); ++i) s[i] *= 4 * gamma(std::clamp(k[i], min_terms, max_terms), u);
      bounds[key] = s;
    }
    return bounds;
  };
}

}  // namespace sigma::test
