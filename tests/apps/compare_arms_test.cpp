// The arms of a comparison train as `sigma train` does, each to the same bits whatever the others are, also
// when the process is stopped or killed on the way.
#include <csignal>

#include "core/safetensors.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const Arguments kTiny{"--data",      "synth-digits", "--limit-train", "60", "--limit-test", "40",
                      "--normalize", "unit",         "--threads",     "2",  "--quiet"};

Arguments to(const fs::path& out) { return {"--out", out.string()}; }

Json compared(const Arguments& flags, const fs::path& run) {
  RunResult r = run_sigma(Arguments{"compare"} + kTiny + flags + to(run), {}, 600);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return read_json(run / "summary.json");
}

Arguments losses_of_train(const fs::path& run) {
  Arguments losses;
  const auto rows = read_csv(run / "steps.csv");
  for (size_t i = 1; i < rows.size(); ++i) losses.push_back(rows[i][2]);
  return losses;
}

// All of arms.json but the times.
std::map<std::string, Json> measured(const fs::path& run) {
  std::map<std::string, Json> all;
  Json runs = read_json(run / "arms.json")["runs"];
  for (Json& r : runs) {
    r.erase("seconds");
    r.erase("ms_per_step");
    all[fmt::format("{} {}", r["arm"].get<int>(), r["seed"].get<int>())] = r;
  }
  return all;
}

}  // namespace

TEST_CASE("an arm is the run that train makes of its flags, step by step", "[compare][determinism]") {
  TemporaryFolder folder;
  const Arguments common{"--model",   "lenet5", "--batch-norm", "on",       "--max-steps",       "9",
                         "--seed",    "3",      "--schedule",   "constant", "--label-smoothing", "0.1",
                         "--augment", "crop",   "--eval-every", "1"};
  const Json s =
      compared(common + Arguments{"--optimizer", "sgd,adamw,muon", "--momentum", "0.9", "--weight-decay",
                                  "0.01", "--batch-size", "12,20", "--seeds", "1"},
               folder / "all");
  REQUIRE(s["arms"].size() == 6);
  int seen = 0;
  for (const Json& arm : s["arms"]) {
    const std::string optimizer = arm["settings"]["optimizer"], batch = arm["settings"]["batch-size"];
    if (batch != "12" && optimizer != "sgd") continue;
    ++seen;
    INFO(arm["label"].get<std::string>());
    const fs::path alone = folder / (optimizer + batch);
    Arguments flags{"train", "--optimizer", optimizer, "--batch-size", batch, "--weight-decay", "0.01"};
    if (optimizer == "sgd") flags = flags + Arguments{"--lr", "0.1"};
    if (optimizer != "adamw") flags = flags + Arguments{"--momentum", "0.9"};
    RunResult r = run_sigma(flags + kTiny + common + to(alone));
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    const Json summary = read_json(alone / "summary.json");
    CHECK(arm["test_accuracy"][0] == summary["test_accuracy"]);
    Arguments losses;
    for (auto& row : read_csv(folder / "all/results.csv")) {
      const size_t n = row.size();  // ..., batch_size, optimizer
      if (row[n - 2] == batch && row[n - 1] == optimizer && row[4] != "0") losses.push_back(row[6]);
    }
    CHECK(losses.size() == 9);
    CHECK(losses == losses_of_train(alone));
  }
  CHECK(seen == 4);
  CHECK(read_csv(folder / "all/results.csv")[0] == Arguments{"batch_norm", "normalize", "lr", "seed", "step",
                                                             "test_accuracy", "train_loss", "seconds",
                                                             "batch_size", "optimizer"});
}

TEST_CASE("batches of several sizes and networks of several texts are measured over their own lengths",
          "[compare]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  const Json s = compared({"--model", "flatten, linear 8, bn, relu, linear classes; flatten, linear classes",
                           "--batch-size", "6,20", "--epochs", "2", "--seeds", "2"},
                          run);
  REQUIRE(s["arms"].size() == 6);  // the second network has no batch norm
  for (const Json& arm : s["arms"]) {
    const int64_t batch = arm["batch_size"];
    CHECK(arm["steps"] == 2 * 60 / batch);
    CHECK(arm["settings"]["batch-size"] == std::to_string(batch));
  }
  CHECK(s["steps"] == 20);
  for (auto& [key, r] : measured(run)) {
    const size_t a = r["arm"];
    CHECK(r["step"].back() == s["arms"][a]["steps"]);
    // What the first network shows before and after batch norm, the second has not.
    CHECK(r["first_in"].empty() == (s["arms"][a]["model"] == "flatten, linear classes"));
  }
  CHECK(count_of(read_text(run / "results.csv"), ",20\n") == 3 * 2 * 7);  // arms, seeds, measurements
}

TEST_CASE("group norm, and networks without any, are compared and reported", "[compare]") {
  TemporaryFolder folder;
  const Arguments shortly{"--max-steps", "4", "--batch-size", "20", "--seeds", "1"};
  Json s = compared(Arguments{"--model", "mlp", "--norm", "batch,group:8,none"} + shortly, folder / "norms");
  REQUIRE(s["arms"].size() == 3);
  CHECK(s["arms"][1]["label"] == "group norm (8 groups)");
  CHECK(s["arms"][0]["test_accuracy"] != s["arms"][2]["test_accuracy"]);
  CHECK(fs::exists(folder / "norms/histograms.png"));
  for (auto& [key, r] : measured(folder / "norms"))
    CHECK((r["last_in"] != r["last_out"]) == (r["arm"] != 2));  // nothing stands there
  s = compared(Arguments{"--model", "flatten, linear 8, relu, linear classes"} + shortly, folder / "none");
  CHECK(s["arms"].size() == 1);
  CHECK(!fs::exists(folder / "none/histograms.png"));
  CHECK(!contains(read_text(folder / "none/report.html"), "Activations before"));
  RunResult r = run_sigma(Arguments{"compare"} + kTiny + shortly +
                          Arguments{"--model", "flatten, linear classes", "--histogram-layer", "bn1"} +
                          to(folder / "refused"));
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--histogram-layer: flatten, linear classes has no batch norm, got \"bn1\""));
}

TEST_CASE("what is measured on validation images is called so", "[compare]") {
  TemporaryFolder folder;
  const Arguments flags{"compare", "--limit-train", "60", "--model", "mlp", "--normalize", "unit", "--val",
                        "0.2",     "--max-steps",   "2",  "--seeds", "1"};
  RunResult r = run_sigma(flags + to(folder / "run"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.err, "(47 training, 13 validation images)"));
  CHECK(contains(r.out, "validation accuracy"));
  CHECK(!contains(r.out, "test accuracy"));
  CHECK(read_json(folder / "run/summary.json")["measured_on"] == "validation");
  CHECK(compared({"--model", "mlp", "--max-steps", "2", "--seeds", "1"}, folder / "test")["measured_on"] ==
        "test");
}

TEST_CASE("a comparison of anything goes on to the same bits after a signal and after kill -9", "[resume]") {
  TemporaryFolder folder;
  const fs::path net = folder / "small.net", other = folder / "flat.net", whole = folder / "whole";
  write_file_atomic(net.string(), "conv 2 5, bn, relu, maxpool 4, flatten, linear classes");
  write_file_atomic(other.string(), "flatten, linear 12, bn, relu, linear classes");
  const Arguments flags{"--model",      other.string() + "," + net.string(),
                        "--batch-norm", "on",
                        "--optimizer",  "sgd,adamw",
                        "--batch-size", "10,20",
                        "--ema",        "0.9",
                        "--precision",  "bf16",
                        "--sampler",    "balanced",
                        "--augment",    "crop",
                        "--momentum",   "0.9",
                        "--epochs",     "4",
                        "--eval-every", "7",
                        "--seeds",      "1"};
  compared(flags, whole);
  const Arguments go_on{"compare", "--resume", "--quiet", "--threads", "2"};
  for (int signal : {SIGTERM, SIGKILL}) {
    INFO("signal " << signal);
    const fs::path run = folder / std::to_string(signal);
    int stops = 0;
    size_t unfinished = 0;
    for (int i = 0; i < 3; ++i) {
      const bool begun = fs::exists(run / "config.json");
      Process process(begun ? go_on + to(run) : Arguments{"compare"} + kTiny + flags + to(run),
                      folder / fmt::format("{}-{}", signal, i));
      // Whatever the speed of the machine: after one more run has been saved, whole or in part.
      auto saves = [&] {
        return read_text(run / "arms.json").size() +
               (fs::exists(run / "weights") && !fs::is_empty(run / "weights") ? 1 : 0);
      };
      process.wait_until([&] { return fs::exists(run / "arms.json"); });
      const size_t before = saves();
      process.wait_until([&] { return saves() != before; });
      process.signal(signal);
      const int code = process.wait();
      if (code == 0) break;
      REQUIRE(code == 128 + signal);
      ++stops;
      unfinished += fs::exists(run / "weights") && !fs::is_empty(run / "weights");
    }
    CHECK(stops >= 1);
    if (signal == SIGTERM) CHECK(unfinished >= 1);
    RunResult r = run_sigma(go_on + to(run), {}, 600);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(measured(run) == measured(whole));
    CHECK(measured(run).size() == 8);
    CHECK(read_json(run / "summary.json")["arms"][7]["label"] == "small · batches of 20 · AdamW");
    r = run_sigma(go_on + Arguments{"--batch-size", "10,16"} + to(run));
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "--batch-size was \"10,20\", now \"10,16\""));
    r = run_sigma(go_on + Arguments{"--lr", "0.05"} + to(run));  // train's default is none of the run's
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "--lr was null, now \"0.05\""));
  }
}

TEST_CASE("a comparison that is killed again and again goes on from what it saved on the way", "[resume]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run", file = run / "weights/arm-0-seed-0.safetensors";
  const Arguments endless{"compare",     "--model",      "flatten, linear 8, relu, linear classes",
                          "--data",      "synth-digits", "--limit-train",
                          "40",          "--limit-test", "20",
                          "--normalize", "unit",         "--max-steps",
                          "10000000",    "--optimizer",  "adam",
                          "--ema",       "0.9",          "--seeds",
                          "1",           "--threads",    "1",
                          "--quiet",     "--eval-every", "1000000"};
  auto step = [&]() -> int64_t {
    if (!fs::exists(file)) return -1;
    return Json::parse(load_safetensors(file.string()).metadata.at("sigma-arm"))["step"];
  };
  int64_t before = -1;
  for (int i = 0; i < 2; ++i) {
    Process process(
        i == 0 ? endless + to(run) : Arguments{"compare", "--resume", "--quiet", "--threads", "1"} + to(run),
        folder / std::to_string(i));
    REQUIRE(process.wait_until([&] { return step() > std::max<int64_t>(0, before); }));
    process.signal(SIGKILL);
    CHECK(process.wait() == 128 + SIGKILL);
    before = step();
  }
}
