#include "apps/verbs/compare_workers.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <thread>

#include "apps/flags/config.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/text.h"

namespace sigma::app {
namespace {

using std::chrono::seconds;
// What a run may lose that is killed. Before a measurement, which may take long, it saves what is new.
constexpr seconds kFirstSave{1}, kSaveEvery{30};

}  // namespace

std::vector<Job> jobs_of(const Plan& plan, uint64_t first_seed) {
  const Comparison& c = plan.comparison;
  std::vector<Job> jobs;
  for (int64_t s = 0; s < c.seeds; ++s)
    for (size_t a = 0; a < c.arms.size(); ++a) jobs.push_back({a, first_seed + static_cast<uint64_t>(s)});
  std::erase_if(jobs, [&](const Job& job) {
    return std::any_of(c.runs.begin(), c.runs.end(),
                       [&](const ArmRun& r) { return r.arm == job.arm && r.seed == job.seed; });
  });
  return jobs;
}

std::vector<ArmRun> Finished::load(size_t arms) const {
  constexpr ErrorKind kind = ErrorKind::checkpoint;
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) return {};
  const Json saved = read_json_file(path_, kind, uint64_t{1} << 30);
  std::string differing = differing_flags(json_object(saved, "config", kind, path_), config_);
  if (json_get<std::string>(saved, "fingerprint", kind, path_) != fingerprint_)
    differing += "; the images or labels of the data set changed";
  if (!differing.empty())
    fail(ErrorKind::usage, "--resume", "this is not the run that was stopped: {}", differing.substr(2));
  std::vector<ArmRun> runs;
  for (const Json& j : json_array(saved, "runs", kind, path_)) {
    runs.push_back(ArmRun::from(j, path_));
    if (runs.back().arm >= arms)
      fail(kind, path_, "expected runs of {} arms, got one of arm {}", arms, runs.back().arm);
  }
  return runs;
}

void Finished::save(const std::vector<ArmRun>& runs) const {
  Json saved{{"config", config_}, {"fingerprint", fingerprint_}, {"runs", Json::array()}};
  for (const ArmRun& r : runs) saved["runs"].push_back(r.json());
  write_file_atomic(path_, json_text(saved));
}

Workers::Workers(Plan& plan, const Dataset& data, const RunFolder& folder, const Finished& finished,
                 std::vector<Job> jobs, const Options& o)
    : plan_(plan),
      data_(data),
      folder_(folder),
      finished_(finished),
      jobs_(std::move(jobs)),
      resume_(o.resume),
      line_(o.quiet) {
  for (const Job& job : jobs_) total_ += plan.comparison.arms[job.arm].steps;
}

int Workers::run() {
  const size_t wanted = std::min<size_t>(static_cast<size_t>(num_threads()), jobs_.size());
  std::vector<std::thread> threads;
  try {
    for (size_t i = 1; i < wanted; ++i) threads.emplace_back([this] { work(false); });
  } catch (const std::system_error&) {}  // those that there are do all of it
  if (wanted > 0) work(threads.empty());
  for (auto& t : threads) t.join();
  if (error_) std::rethrow_exception(error_);
  return stopped_;
}

void Workers::work(bool alone) {
  std::optional<SerialScope> serial;
  if (!alone) serial.emplace();
  for (size_t k; !failed_ && (k = next_.fetch_add(1)) < jobs_.size();) {
    try {
      train(jobs_[k]);
    } catch (const Stopped& s) {
      std::lock_guard lock(mutex_);
      stopped_ = s.signal;
      return;
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      failed_ = true;
      return;
    }
  }
}

void Workers::train(const Job& job) {
  ArmTraining arm(plan_.comparison, job.arm, job.seed, data_, plan_.setups[job.arm], plan_.probes[job.arm]);
  const std::string file = folder_ / job.file();
  take_up(arm, file);
  int64_t counted = arm.steps_done();
  tick(counted, counted);
  auto saved = Clock::now();
  seconds wait = kFirstSave;
  auto between = [&](int64_t step, bool measures) {
    tick(step - counted, 0);
    counted = step;
    if (int s = stop_signal()) throw Stopped{s};
    if (failed_) throw Stopped{0};
    if (Clock::now() - saved < (measures ? kFirstSave : wait)) return;
    saved = Clock::now();
    wait = std::min(2 * wait, kSaveEvery);
    try {
      arm.save(file);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::io) throw;
      warn(e.what());
    }
  };
  try {
    ArmRun done = arm.run(between);
    finish(std::move(done), file, plan_.comparison.arms[job.arm].steps - counted);
  } catch (const Stopped&) {
    arm.save(file);
    throw;
  }
}

// What a run that is resumed had done of an arm. A damaged file costs that arm's work, no more.
void Workers::take_up(ArmTraining& arm, const std::string& file) const {
  std::error_code ignored;
  if (!resume_ || !std::filesystem::exists(file, ignored)) return;
  try {
    arm.load(file);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::checkpoint && e.kind() != ErrorKind::io) throw;
    warn(fmt::format("{}; this arm begins again", e.what()));
  }
}

void Workers::finish(ArmRun run, const std::string& file, int64_t steps_left) {
  tick(steps_left, 0);
  std::lock_guard lock(mutex_);
  plan_.comparison.runs.push_back(std::move(run));
  finished_.save(plan_.comparison.runs);
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
}

// Steps that were done now, `before` of them in an earlier process.
void Workers::tick(int64_t steps, int64_t before) {
  std::lock_guard lock(mutex_);
  done_ += steps;
  before_ += before;
  if (done_ == before_ || !line_.due()) return;
  const Comparison& c = plan_.comparison;
  const double time = std::chrono::duration<double>(Clock::now() - began_).count(),
               now = static_cast<double>(done_ - before_);
  line_.show(fmt::format("compare {}/{} runs done, step {}/{} ({:.0f}%) {} steps/s ETA {}", c.runs.size(),
                         c.arms.size() * static_cast<size_t>(c.seeds), done_, total_,
                         100.0 * static_cast<double>(done_) / static_cast<double>(total_),
                         rate_text(now / time),
                         seconds_text(time / now * static_cast<double>(total_ - done_))));
}

}  // namespace sigma::app
