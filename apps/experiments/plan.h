// Which experiments a budget of time is spent on, and in what size.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "apps/experiments/experiment.h"

namespace sigma::app {

struct Planned {
  Experiment experiment;
  Extent extent;
};
struct BudgetPlan {
  std::vector<Planned> jobs;  // in the order of the experiments
  std::vector<std::pair<Experiment, double>>
      left_out;  // with the minutes that were left when it was its turn
};

// In turn, each if it fits what is left:
//
//   the core, in the smallest size
//   those that need no data, in the largest size that fits: they train nothing and cost little
//   all others, in the smallest size
//   what was taken, enlarged to the largest size that fits, in the same order
//
// Within each, in the order of the experiments. Where not even one fits, the one with the smallest size.
inline BudgetPlan plan_within(double minutes, const std::vector<Experiment>& experiments) {
  BudgetPlan plan;
  std::vector<const Experiment*> order;
  auto turn = [](const Experiment& e) { return e.core ? 0 : e.data.empty() ? 1 : 2; };
  for (const Experiment& e : experiments) order.push_back(&e);
  std::stable_sort(order.begin(), order.end(),
                   [&](const Experiment* a, const Experiment* b) { return turn(*a) < turn(*b); });
  double left = minutes;
  auto largest = [&](const Experiment& e, double most) {  // null: none fits
    const Extent* best = nullptr;
    for (const Extent& x : e.extents)
      if (x.minutes <= most && (!best || x.minutes > best->minutes)) best = &x;
    return best;
  };
  auto take = [&](const Experiment& e, const Extent& extent) {
    left -= extent.minutes;
    plan.jobs.push_back({e, extent});
  };
  for (const Experiment* e : order) {
    const Extent* fits = turn(*e) == 1 ? largest(*e, left) : &e->extents.front();
    if (fits && fits->minutes <= left)
      take(*e, *fits);
    else
      plan.left_out.emplace_back(*e, left);
  }
  if (plan.jobs.empty() && !order.empty()) {
    const Experiment* e = *std::min_element(order.begin(), order.end(), [](auto* a, auto* b) {
      return a->extents.front().minutes < b->extents.front().minutes;
    });
    take(*e, e->extents.front());
    std::erase_if(plan.left_out, [&](const auto& out) { return out.first.name == e->name; });
  }
  for (Planned& job : plan.jobs) {
    const Extent* larger = largest(job.experiment, left + job.extent.minutes);
    if (!larger || larger->minutes <= job.extent.minutes) continue;
    left -= larger->minutes - job.extent.minutes;
    job.extent = *larger;
  }
  auto by_place = [](const auto& a, const auto& b) { return a.experiment.place < b.experiment.place; };
  std::stable_sort(plan.jobs.begin(), plan.jobs.end(), by_place);
  return plan;
}

}  // namespace sigma::app
