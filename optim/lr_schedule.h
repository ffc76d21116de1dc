// Learning-rate schedules: pure functions of the step, so that a resumed run continues exactly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma {

enum class Schedule { constant, step, cosine, one_cycle };

struct LrSchedule {
  Schedule kind = Schedule::constant;
  int64_t total_steps = 1;   // of the run
  int64_t warmup_steps = 0;  // linear from lr / warmup_steps up to lr; not for one-cycle, which has its own
  std::vector<double> milestones = {0.5, 0.75};  // step: fractions of the run where lr is multiplied by gamma
  double gamma = 0.1;
  double one_cycle_rise = 0.3;        // fraction of the run until the peak
  double one_cycle_start = 1.0 / 25;  // start and end as fractions of the peak (Smith and Topin 2018)
  double one_cycle_end = 1e-4;

  // Rate of step 0, 1, ... total_steps - 1 for the base rate `lr` (one-cycle: the peak); later steps keep the
  // last one.
  //   cosine: lr/2 (1 + cos(pi t/T)) over the steps after warm-up (Loshchilov and Hutter 2017)
  double at(int64_t step, double lr) const;
};

Schedule parse_schedule(const std::string& name);  // constant, step, cosine, one-cycle

}  // namespace sigma
