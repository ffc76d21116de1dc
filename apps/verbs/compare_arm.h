// One arm of `sigma compare` with one seed: trained, measured, stopped and gone on with.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "apps/report/comparison.h"
#include "apps/training/trainer.h"

namespace sigma::app {

// The batch norm whose input and output are looked at, and the layer before it; the latter is there in both
// arms, under the same name.
struct Probe {
  std::string norm, before;
};
// The chosen batch norm of the network of a setup, or the last; throws kind usage when there is none of the
// name.
Probe find_probe(const TrainSetup& setup, const std::string& wanted);

class ArmTraining {
 public:
  // `comparison`, `data` and `probe` outlive this.
  ArmTraining(const Comparison& comparison, size_t arm, uint64_t seed, const Dataset& data, TrainSetup setup,
              const Probe& probe);

  // Takes up what save() wrote. Throws kind checkpoint when the file is damaged or of another arm.
  void load(const std::string& path);
  void save(const std::string& path);
  int64_t steps_done() const { return step_; }

  // Trains to the end. `between` is called before each step, and may throw to stop: what has been done is
  // then whole, so that it can be saved.
  ArmRun run(const std::function<void(int64_t step)>& between);

 private:
  void measure();
  void look(bool first, bool last);
  bool ended() const { return step_ == comparison_.steps || run_.diverged_at >= 0; }

  const Comparison& comparison_;
  const Dataset& data_;
  const Probe& probe_;
  Trainer trainer_;
  ArmRun run_;
  int64_t step_ = 0, loss_count_ = 0;
  double trained_ = 0, loss_sum_ = 0;  // seconds; of the losses since the last measurement
};

}  // namespace sigma::app
