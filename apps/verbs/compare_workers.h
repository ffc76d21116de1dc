// The runs of `sigma compare`: what is finished of them, what is left, and those who do it.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/verbs/compare_plan.h"

namespace sigma::app {

// One arm with one seed that is not finished.
struct Job {
  size_t arm;
  uint64_t seed;
  std::string file() const { return fmt::format("weights/arm-{}-seed-{}.safetensors", arm, seed); }
};
// Those of a plan that are not among its runs, seed by seed.
std::vector<Job> jobs_of(const Plan& plan, uint64_t first_seed);

// The runs that are finished, in arms.json, with what tells whether it is the same comparison.
class Finished {
 public:
  Finished(const RunFolder& folder, Json config, std::string fingerprint)
      : path_(folder / "arms.json"), config_(std::move(config)), fingerprint_(std::move(fingerprint)) {}
  // Those of a run that is resumed, of so many arms.
  std::vector<ArmRun> load(size_t arms) const;
  void save(const std::vector<ArmRun>& runs) const;

 private:
  std::string path_;
  Json config_;
  std::string fingerprint_;
};

// Trains the jobs side by side, one a thread; each is the same bits however many run at once. A run is saved
// when it is done, and on the way after 1, 2, 4, 8, 16 and then every 30 seconds and before measurements, so
// that one that is killed loses no more than that, or than the step or measurement that it was in.
class Workers {
 public:
  Workers(Plan& plan, const Dataset& data, const RunFolder& folder, const Finished& finished,
          std::vector<Job> jobs, const Options& options);
  // The signal that asked to stop, or 0.
  int run();
  ProgressLine& line() { return line_; }

 private:
  using Clock = std::chrono::steady_clock;
  void work(bool alone);
  void train(const Job& job);
  void take_up(ArmTraining& arm, const std::string& file) const;
  void finish(ArmRun run, const std::string& file, int64_t steps_left);
  void tick(int64_t steps, int64_t before);

  Plan& plan_;
  const Dataset& data_;
  const RunFolder& folder_;
  const Finished& finished_;
  std::vector<Job> jobs_;
  bool resume_;
  ProgressLine line_;
  Clock::time_point began_ = Clock::now();
  std::mutex mutex_;  // of all that follows, and of the runs
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};  // another one has
  int64_t done_ = 0, before_ = 0, total_ = 0;
  std::exception_ptr error_;
  int stopped_ = 0;
};

}  // namespace sigma::app
