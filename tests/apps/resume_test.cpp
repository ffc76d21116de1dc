// Exact resume: a run that was stopped, killed or damaged ends with the same bits as one that was left alone.
#include <signal.h>

#include <chrono>
#include <thread>

#include "apps/training/checkpoint.h"
#include "core/math.h"
#include "core/sha256.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// Two epochs of eight steps, a checkpoint every third.
const Arguments kTiny{
    "train",  "--data",       "synth-digits", "--limit-train", "128", "--limit-test", "50", "--model",
    "lenet5", "--batch-size", "16",           "--epochs",      "2",   "--save-every", "3",  "--threads",
    "1",      "--quiet"};

Arguments to(const fs::path& out) { return {"--out", out.string()}; }

// Everything a finished run says that does not depend on the clock.
Json result_of(const fs::path& run) {
  Json all = read_json(run / "summary.json");
  all.erase("seconds");
  all.erase("images_per_s");
  Json rows = Json::array();
  for (auto& row : read_csv(run / "results.csv")) {
    REQUIRE(row.size() == 10);
    rows.push_back(Arguments(row.begin(), row.begin() + 7));  // then seconds, images_per_s, data_percent
  }
  all["results"] = rows;
  all["steps_table"] = read_text(run / "steps.csv");
  all["confusion"] = read_text(run / "confusion.csv");
  for (const char* name : {"last", "best"}) {
    auto content = read_raw((run / "weights" / (std::string(name) + ".safetensors")).string()).content;
    content.metadata.clear();
    Sha256 hash;
    hash.update(serialize_safetensors(content));
    all[name] = hash.hex();
  }
  return all;
}

// Nothing but the files of a finished run is left in its folder.
bool tidy(const fs::path& run) {
  for (auto& entry : fs::recursive_directory_iterator(run))
    if (entry.path().filename().string()[0] == '.') return false;
  return true;
}

// The tiny run, uninterrupted; made once.
struct Reference {
  Json result;
  std::chrono::duration<double> time{};
};
const Reference& reference() {
  static const Reference r = [] {
    TemporaryFolder folder;
    auto start = std::chrono::steady_clock::now();
    RunResult run = run_sigma(kTiny + to(folder / "run"));
    auto time = std::chrono::steady_clock::now() - start;
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
    return Reference{result_of(folder / "run"), time};
  }();
  return r;
}

bool has_checkpoint(const fs::path& run) {
  for (const char* name : {"last.safetensors", "last-previous.safetensors"}) try {
      load_checkpoint((run / "weights" / name).string());
      return true;
    } catch (const Error&) {}
  return false;
}

// Goes on with a run that was stopped anywhere, even before there was a folder.
RunResult go_on(const fs::path& run, const Arguments& arguments = kTiny) {
  bool begun = fs::exists(run / "config.json");
  return run_sigma(begun ? Arguments{"train", "--resume", "--quiet", "--save-every", "3"} + to(run)
                         : arguments + to(run));
}

void check_result(const fs::path& run) {
  CHECK(result_of(run) == reference().result);
  CHECK(tidy(run));
}

void overwrite(const fs::path& path, const std::string& content) {
  fs::remove(path);  // not in place: last.safetensors and the one before may be the same file
  write_file_atomic(path.string(), content);
}

}  // namespace

TEST_CASE("a run that was asked to stop resumes to the same bits", "[resume]") {
  reference();
  TemporaryFolder folder;
  int stopped = 0;
  for (int i = 0; i < 8; ++i) {
    fs::path run = folder / std::to_string(i);
    int signal = i % 2 ? SIGINT : SIGTERM;
    INFO("moment " << i << " signal " << signal);
    Process process(kTiny + to(run), run);
    // Not of SIGINT, for which the BLAS library has a handler of its own for a moment.
    REQUIRE(process.wait_until([&] { return process.handles(SIGTERM); }));
    if (i > 1) REQUIRE(process.wait_until([&] { return fs::exists(run / "weights/last.safetensors"); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(i < 2 ? 40 * i : 25 * (i - 2)));
    process.signal(signal);
    int code = process.wait();
    if (code == 0) {  // too late: it was writing the results
      check_result(run);
      continue;
    }
    ++stopped;
    CHECK(code == 128 + signal);
    CHECK(has_checkpoint(run));
    CHECK(!fs::exists(run / "summary.json"));
    RunResult r = go_on(run);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(r.err.empty());
    check_result(run);
  }
  CHECK(stopped >= 2);
}

TEST_CASE("a run killed at any time resumes to the same bits", "[resume]") {
  auto whole = reference().time;
  TemporaryFolder folder;
  constexpr int kKills = 25;
  int killed = 0;
  for (int i = 0; i < kKills; ++i) {
    fs::path run = folder / std::to_string(i);
    INFO("kill " << i);
    Process process(kTiny + to(run), run);
    std::this_thread::sleep_for(whole * i / kKills);
    process.signal(SIGKILL);
    killed += process.wait() == 128 + SIGKILL;
    if (fs::exists(run / "weights/last.safetensors")) CHECK(has_checkpoint(run));
    RunResult r = go_on(run);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(r.err.empty());
    check_result(run);
    fs::remove_all(run);
  }
  CHECK(killed >= 3);  // how fast the machine is at the moment, nobody knows
}

TEST_CASE("a run killed ten times over resumes to the same bits", "[resume]") {
  auto whole = reference().time;
  TemporaryFolder folder;
  fs::path run = folder / "run";
  for (int i = 0; i < 10; ++i) {
    bool begun = fs::exists(run / "config.json");
    Process process(
        begun ? Arguments{"train", "--resume", "--quiet", "--save-every", "3"} + to(run) : kTiny + to(run),
        run);
    std::this_thread::sleep_for(whole * (30 + 3 * i) / 100);
    process.signal(SIGKILL);
    process.wait();
  }
  RunResult r = go_on(run);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  check_result(run);
}

TEST_CASE("a run killed before any of its writes resumes to the same bits", "[resume]") {
  bool traced =
      run({"sh", "-c", "strace -f -o /dev/null true"}).exit_code == 0;  // also where there is no strace
  if (!traced) return skip("strace cannot run here");
  const Arguments two_steps{
      "train",       "--data",       "synth-digits", "--limit-train", "32", "--limit-test", "10", "--model",
      "sigmoid-mlp", "--batch-size", "16",           "--epochs",      "1",  "--save-every", "1",  "--threads",
      "1",           "--quiet"};
  TemporaryFolder folder;
  REQUIRE(run_sigma(two_steps + to(folder / "whole")).exit_code == 0);
  Json expected = result_of(folder / "whole");
  // fsync stands for the writes before it; the links and renames are where one file takes another's place.
  int points = 0;
  for (auto [call, stride] :
       {std::pair<const char*, int>{"rename", 1}, {"link", 1}, {"unlink", 1}, {"fsync", 8}})
    for (int k = 1; k < 100; k += stride) {
      fs::path run = folder / (std::string(call) + std::to_string(k));
      INFO(call << " " << k);
      RunResult killed = test::run(
          Arguments{"strace", "-f", "-o", "/dev/null", "-e", std::string("trace=") + call, "-e",
                    "inject=" + std::string(call) + ":signal=KILL:when=" + std::to_string(k), SIGMA_BINARY} +
              two_steps + to(run),
          {"ASAN_OPTIONS=detect_leaks=0"});  // the leak detector cannot run under a tracer
      if (killed.exit_code == 0) break;      // the run has fewer such calls
      REQUIRE(killed.exit_code == 128 + SIGKILL);
      ++points;
      if (fs::exists(run / "weights/last.safetensors")) CHECK(has_checkpoint(run));
      RunResult r = go_on(run, two_steps);
      INFO(r.err);
      REQUIRE(r.exit_code == 0);
      CHECK(r.err.empty());
      CHECK(result_of(run) == expected);
      CHECK(tidy(run));
    }
  CHECK(points >= 15);
}

TEST_CASE("a damaged checkpoint is refused by name, and the one before it takes its place", "[resume]") {
  TemporaryFolder folder;
  fs::path whole = folder / "whole";
  REQUIRE(run_sigma(kTiny + to(whole)).exit_code == 0);
  CHECK(result_of(whole) == reference().result);
  std::string good = read_text(whole / "weights/last.safetensors");
  std::vector<std::string> damages{"", good.substr(0, 4), good.substr(0, 1000),
                                   good.substr(0, good.size() - 1)};
  for (size_t at : {size_t{0}, size_t{20}, good.size() / 2, good.size() - 1}) {
    damages.push_back(good);
    damages.back()[at] = static_cast<char>(damages.back()[at] ^ 1);
  }
  for (size_t i = 0; i < damages.size(); ++i) {
    INFO("damage " << i);
    fs::path run = folder / std::to_string(i), last = run / "weights/last.safetensors";
    fs::copy(whole, run, fs::copy_options::recursive);
    overwrite(last, damages[i]);
    RunResult e = run_sigma({"eval", "--checkpoint", last.string(), "--limit-test", "50", "--threads", "1"});
    CHECK(e.exit_code == 6);
    CHECK(contains(e.err, "error: " + last.string() + ": "));
    CHECK(e.out.empty());
    if (i % 2) {  // resuming takes longer
      // From step 15, so that the only save is the one at the end.
      RunResult r = run_sigma(Arguments{"train", "--resume", "--quiet", "--save-every", "4"} + to(run));
      INFO(r.err);
      REQUIRE(r.exit_code == 0);
      CHECK(contains(r.err, "warning: " + last.string()));
      CHECK(contains(r.err, "last-previous.safetensors"));
      check_result(run);
      // The damaged file has not become the previous one.
      CHECK_NOTHROW(load_checkpoint((run / "weights/last-previous.safetensors").string()));
    }
    overwrite(last, damages[i]);
    overwrite(run / "weights/last-previous.safetensors", damages[i]);
    RunResult r = go_on(run);
    CHECK(r.exit_code == 6);
    CHECK(contains(r.err, "last-previous.safetensors: "));
    CHECK(read_text(last) == damages[i]);
  }
}
