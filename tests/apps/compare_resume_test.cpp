// A comparison that was stopped goes on where its arms were. It used to begin every arm again that was not
// finished.
#include <csignal>
#include <set>
#include <thread>

#include "core/safetensors.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

Arguments compare_into(const fs::path& run) {
  return {"compare",      "--data",      "synth-digits", "--limit-train", "400",
          "--limit-test", "50",          "--model",      "lenet5",        "--batch-norm",
          "on,off",       "--normalize", "standard",     "--lr",          "0.05",
          "--momentum",   "0.9",         "--augment",    "crop",          "--batch-size",
          "16",           "--max-steps", "120",          "--eval-every",  "7",
          "--seeds",      "2",           "--quiet",      "--threads",     "2",
          "--out",        run.string()};
}

// All of arms.json but the times.
Json measured(const fs::path& run) {
  Json runs = read_json(run / "arms.json")["runs"];
  std::map<std::string, Json> all;
  for (Json& r : runs) {
    r.erase("seconds");
    r.erase("ms_per_step");
    all[fmt::format("{} {}", r["arm"].get<int>(), r["seed"].get<int>())] = r;
  }
  return all;
}

std::set<std::string> unfinished(const fs::path& run) {
  std::set<std::string> names;
  if (fs::exists(run / "weights"))
    for (auto& entry : fs::directory_iterator(run / "weights"))
      names.insert(entry.path().filename().string());
  return names;
}

}  // namespace

TEST_CASE("a comparison that was stopped goes on with its unfinished arms, to the same bits",
          "[resume][regression]") {
  TemporaryFolder folder;
  const fs::path whole = folder / "whole", run = folder / "run";
  RunResult r = run_sigma(compare_into(whole), {}, 600);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(unfinished(whole).empty());

  int stops = 0;
  bool some_steps = false;
  for (int i = 0; i < 6; ++i) {
    const bool begun = fs::exists(run / "config.json");
    Process process(begun
                        ? Arguments{"compare", "--resume", "--quiet", "--threads", "2", "--out", run.string()}
                        : compare_into(run),
                    run);
    process.wait_until([&] { return process.handles(SIGTERM); });
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + 90 * i));
    process.signal(SIGTERM);
    const int code = process.wait();
    if (code == 0) break;
    REQUIRE(code == 128 + SIGTERM);
    ++stops;
    for (const std::string& name : unfinished(run))
      some_steps |=
          Json::parse(load_safetensors((run / "weights" / name).string()).metadata.at("sigma-arm"))["step"] >
          0;
  }
  CHECK(stops >= 1);
  CHECK(some_steps);
  // A damaged file costs the work of its arm, no more.
  for (const std::string& name : unfinished(run)) {
    write_file_atomic((run / "weights" / name).string(), "damaged");
    break;
  }
  r = run_sigma({"compare", "--resume", "--quiet", "--threads", "1", "--out", run.string()}, {}, 600);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(measured(run) == measured(whole));
  CHECK(unfinished(run).empty());
  CHECK(fs::exists(run / "report.html"));
  r = run_sigma({"compare", "--resume", "--quiet", "--lr", "0.1", "--out", run.string()});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "this is not the run that was stopped: --lr was \"0.05\", now \"0.1\""));
}
