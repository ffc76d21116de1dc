// One arm of `sigma compare` with one seed: trained, measured, stopped and gone on with.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/report/comparison.h"
#include "apps/training/trainer.h"

namespace sigma::app {

// The normalization whose input and output are looked at, and the layer before it; the latter is there under
// the same name in a network without.
struct Probe {
  std::string norm, before;  // both empty: nothing is looked at
};
// Every place where a network has what --norm chooses, behind another layer.
std::vector<Probe> places_of_norm(const std::string& model, const ModelInput& input);

class ArmTraining {
 public:
  // `comparison`, `data` and `probe` outlive this.
  ArmTraining(const Comparison& comparison, size_t arm, uint64_t seed, const Dataset& data, TrainSetup setup,
              const Probe& probe);

  // Takes up what save() wrote. Throws kind checkpoint when the file is damaged or of another arm.
  void load(const std::string& path);
  void save(const std::string& path);
  int64_t steps_done() const { return step_; }

  // Trains to the end. `between` is called before each step and measurement, with the number of steps done,
  // and may save, or throw to stop: what has been done is then whole.
  ArmRun run(const std::function<void(int64_t steps, bool measures)>& between);

 private:
  void measure();
  void look(bool first, bool last);
  const Arm& arm() const { return comparison_.arms[run_.arm]; }
  bool ended() const { return step_ == arm().steps || run_.diverged_at >= 0; }

  const Comparison& comparison_;
  const Dataset& data_;
  const Probe& probe_;
  Trainer trainer_;
  ArmRun run_;
  int64_t step_ = 0, loss_count_ = 0;
  double trained_ = 0, loss_sum_ = 0;  // seconds; of the losses since the last measurement
};

}  // namespace sigma::app
