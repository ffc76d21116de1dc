#include "training/compression.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "layers/passes/trace.h"

namespace sigma {
namespace {

FactorOption decompose(const Module& layer, FactorScheme scheme, const Shape& in, const Shape& out) {
  FactorOption o{scheme, svd(factor_matrix(layer, scheme), {.full_matrices = false}), {}, 0, 0};
  double total = 0, kept = 0;
  for (double s : o.svd.s.to_vector()) total += s * s;
  for (double s : o.svd.s.to_vector()) o.energy.push_back(total > 0 ? (kept += s * s) / total : 1);
  o.weights_per_rank = weights_per_rank(layer, scheme);
  o.macs_per_rank = macs_per_rank(layer, scheme, in, out);
  return o;
}

int64_t cost_of(const Candidate& c, const Choice& choice, Cost cost) {
  return cost == Cost::macs ? macs_of(c, choice) : parameters_of(c, choice);
}

// Whether both costs go down: a thin convolution with a stride may have fewer weights and more to do.
bool is_smaller(const Candidate& c, const Choice& choice) {
  return parameters_of(c, choice) < c.parameters && macs_of(c, choice) < c.macs;
}

// A multiplier reaches only the corners of the trade-off: what it leaves of the budget buys ranks, one at a
// time where one gives most.
void spend(const std::vector<Candidate>& all, int64_t budget, Cost cost, std::vector<Choice>& choices) {
  while (true) {
    Choice* best = nullptr;
    double most = 0;
    int64_t price = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      if (choices[i].option < 0) continue;
      Choice next{choices[i].option, choices[i].rank + 1};
      if (next.rank > all[i].options[static_cast<size_t>(next.option)].max_rank()) continue;
      int64_t was = cost_of(all[i], choices[i], cost), is = cost_of(all[i], next, cost);
      if (is - was > budget || !is_smaller(all[i], next)) continue;
      double gain = std::log(std::max(energy_of(all[i], next), 1e-300) /
                             std::max(energy_of(all[i], choices[i]), 1e-300)) /
                    static_cast<double>(is - was);
      if (best && gain <= most) continue;
      best = &choices[i], most = gain, price = is - was;
    }
    if (!best) return;
    ++best->rank, budget -= price;
  }
}

}  // namespace

double energy_of(const Candidate& c, const Choice& ch) {
  return ch.option < 0 ? 1
                       : c.options[static_cast<size_t>(ch.option)].energy[static_cast<size_t>(ch.rank - 1)];
}
int64_t parameters_of(const Candidate& c, const Choice& ch) {
  return ch.option < 0 ? c.parameters
                       : ch.rank * c.options[static_cast<size_t>(ch.option)].weights_per_rank + c.bias;
}
int64_t macs_of(const Candidate& c, const Choice& ch) {
  return ch.option < 0 ? c.macs : ch.rank * c.options[static_cast<size_t>(ch.option)].macs_per_rank;
}

std::vector<Candidate> candidates_of(Module& model, const ModelInput& input,
                                     const std::optional<FactorScheme>& scheme) {
  std::vector<Candidate> all;
  auto schemes_of = [&](const Module& layer) {
    auto schemes = factor_schemes(layer);
    std::erase_if(schemes,
                  [&](FactorScheme s) { return scheme && s != *scheme && s != FactorScheme::linear; });
    return schemes;
  };
  bool found = false;
  auto add = [&](const std::string& path, const ModulePtr& layer) {
    auto schemes = schemes_of(*layer);
    if (schemes.empty()) return;
    found |= !scheme || schemes[0] == *scheme;
    for (const Candidate& c : all)
      if (c.layer == layer) return;  // shared: replaced wherever it is
    all.push_back({path, layer, {}, 0, 0, 0, {}});
  };
  model.visit([&](const std::string& path, Module& m) {
    if (!m.replaces_children()) return;
    for (auto& [name, child] : m.named_children()) add(join_path(path, name), child);
  });
  if (!found) all.clear();
  std::map<const Module*, std::pair<Shape, Shape>> shapes;
  if (!all.empty())
    for (const TraceRow& r : trace(model, input.shape(1))) shapes[r.module] = {r.in, r.out};
  std::erase_if(all, [&](const Candidate& c) { return !shapes.count(c.layer.get()); });  // never called
  for (Candidate& c : all) {
    auto& [in, out] = shapes.at(c.layer.get());
    for (auto& [name, p] : c.layer->named_parameters()) {
      c.parameters += p.numel();
      if (name == "weight") c.weight = p.shape();
      if (name == "bias") c.bias = p.numel();
    }
    c.macs = c.layer->macs(in, out);
    for (FactorScheme s : schemes_of(*c.layer)) c.options.push_back(decompose(*c.layer, s, in, out));
  }
  return all;
}

std::vector<Choice> choose_by_energy(const std::vector<Candidate>& all, double energy) {
  std::vector<Choice> choices;
  for (const Candidate& c : all) {
    Choice best;
    for (size_t k = 0; k < c.options.size(); ++k) {
      Choice choice{static_cast<int>(k), rank_for_energy(c.options[k].svd.s, energy)};
      if (is_smaller(c, choice) && parameters_of(c, choice) < parameters_of(c, best)) best = choice;
    }
    choices.push_back(best);
  }
  return choices;
}

std::vector<Choice> choose_by_rank(const std::vector<Candidate>& all, int64_t rank) {
  std::vector<Choice> choices;
  for (const Candidate& c : all) {
    Choice best;
    for (size_t k = 0; k < c.options.size(); ++k) {
      Choice choice{static_cast<int>(k), rank};
      if (rank > c.options[k].max_rank() || !is_smaller(c, choice)) continue;
      if (best.option < 0 || energy_of(c, choice) > energy_of(c, best)) best = choice;
    }
    choices.push_back(best);
  }
  return choices;
}

std::vector<Choice> choose_by_share(const std::vector<Candidate>& all, double share, Cost cost) {
  double total = 0;
  for (const Candidate& c : all) total += static_cast<double>(cost_of(c, {}, cost));
  // Each layer for itself minimises -log(energy) + multiplier * cost.
  auto choose = [&](double multiplier) {
    std::vector<Choice> choices;
    for (const Candidate& c : all) {
      Choice best;
      double least = multiplier * static_cast<double>(cost_of(c, {}, cost)) / total;
      for (size_t k = 0; k < c.options.size(); ++k)
        for (int64_t r = 1; r <= c.options[k].max_rank(); ++r) {
          Choice choice{static_cast<int>(k), r};
          if (!is_smaller(c, choice)) break;
          double kept = std::max(energy_of(c, choice), 1e-300);
          double value = -std::log(kept) + multiplier * static_cast<double>(cost_of(c, choice, cost)) / total;
          if (value < least) least = value, best = choice;
        }
      choices.push_back(best);
    }
    return choices;
  };
  auto sum_of = [&](const std::vector<Choice>& choices) {
    int64_t sum = 0;
    for (size_t i = 0; i < all.size(); ++i) sum += cost_of(all[i], choices[i], cost);
    return sum;
  };
  const auto budget = static_cast<int64_t>(share * total);
  std::vector<Choice> whole = choose(0);
  if (sum_of(whole) <= budget) return whole;
  double low = -12, high = 12;  // decimal exponents of the multiplier: everything whole, everything rank 1
  std::vector<Choice> best = choose(std::pow(10, high));
  if (sum_of(best) > budget)
    fail(ErrorKind::usage, "compress", "a share of {} cannot be reached: rank 1 in every layer keeps {:.4f}",
         share, static_cast<double>(sum_of(best)) / total);
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    std::vector<Choice> choices = choose(std::pow(10, middle));
    if (sum_of(choices) <= budget)
      high = middle, best = std::move(choices);
    else
      low = middle;
  }
  spend(all, budget - sum_of(best), cost, best);
  return best;
}

std::vector<Factor> factor_model(Module& model, const std::vector<Candidate>& all,
                                 const std::vector<Choice>& choices) {
  std::vector<Factor> factors;
  for (size_t i = 0; i < all.size(); ++i) {
    if (choices[i].option < 0) continue;
    const FactorOption& o = all[i].options[static_cast<size_t>(choices[i].option)];
    replace_layer(model, all[i].path, factored(*all[i].layer, o.scheme, choices[i].rank, &o.svd));
    factors.push_back({all[i].path, o.scheme, choices[i].rank});
  }
  return factors;
}

}  // namespace sigma
