// The same seed gives the same bits: whatever the number of threads, on every SIMD target, in every arm.
#include <cstring>
#include <set>

#include "core/kernels/simd.h"
#include "layers/networks/models.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// The digest of the weights after a few steps, and the measured losses.
std::string trained(const Arguments& flags, const std::string& threads, const Arguments& env = {}) {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  RunResult r = run_sigma(
      Arguments{"train", "--quiet", "--json", "--threads", threads, "--out", run.string()} + flags, env);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json j = last_line_json(r.out);
  return j.at("weights_sha256").get<std::string>() + " " + j.at("test_loss").dump() + "\n" +
         read_text(run / "steps.csv");
}

Arguments few_steps(const char* model, const char* data, const char* steps) {
  return {"--model", model,          "--data", data,          "--limit-train", "100",       "--limit-test",
          "30",      "--batch-size", "20",     "--max-steps", steps,           "--augment", "flip+crop"};
}

}  // namespace

TEST_CASE("training gives the same bits with one, two and three threads", "[determinism]") {
  const Arguments cases[] = {few_steps("mlp", "synth-digits", "4"), few_steps("cnn", "synth-digits", "3"),
                             few_steps("lenet5", "synth-digits", "6") + Arguments{"--batch-norm", "off"},
                             few_steps("resnet20", "synth-objects", "2") + Arguments{"--batch-size", "10"}};
  for (const Arguments& flags : cases) {
    INFO(flags[1]);
    std::string one = trained(flags, "1");
    CHECK(trained(flags, "2") == one);
    CHECK(trained(flags, "3") == one);
  }
  // And the weights do depend on what they should depend on.
  std::string one = trained(cases[0], "1");
  CHECK(trained(cases[0], "1") == one);
  CHECK(trained(cases[0] + Arguments{"--seed", "1"}, "1") != one);
}

TEST_CASE("each SIMD target agrees with itself whatever the number of threads", "[determinism]") {
  std::vector<std::string> names = kernels::simd_targets();
  std::string available;
  for (const std::string& name : names) available += name + " ";
  std::set<std::string> seen;
  size_t runs = 0;
  for (auto [target, shown] : {std::pair<const char*, const char*>{"avx2", "AVX2"}, {"sse2", "SSE2"}}) {
    if (!contains(available, shown)) {
      skip(std::string("this processor has no ") + shown);
      continue;
    }
    Arguments env{std::string("SIGMA_SIMD=") + target};
    INFO(target);
    CHECK(last_line_json(run_sigma({"env", "--json"}, env).out).at("simd") == shown);
    for (const char* model : {"lenet5", "cnn"}) {
      INFO(model);
      Arguments flags = few_steps(model, "synth-digits", "3");
      std::string one = trained(flags, "1", env);
      CHECK(trained(flags, "2", env) == one);
      seen.insert(one), ++runs;
    }
  }
  // They round differently, with and without fused multiply-add: the same bits would mean the same target.
  CHECK(seen.size() == runs);
}

TEST_CASE("a comparison gives the same numbers with one and two threads", "[determinism][compare]") {
  TemporaryFolder folder;
  std::vector<std::string> tables;
  for (const char* threads : {"1", "2"}) {
    fs::path run = folder / threads;
    RunResult r = run_sigma({"compare",
                             "--data",
                             "synth-digits",
                             "--limit-train",
                             "128",
                             "--limit-test",
                             "50",
                             "--model",
                             "lenet5",
                             "--batch-size",
                             "32",
                             "--epochs",
                             "2",
                             "--seeds",
                             "2",
                             "--normalize",
                             "standard",
                             "--quiet",
                             "--threads",
                             threads,
                             "--out",
                             run.string()});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    std::string table;  // the last column is the time
    for (auto& row : read_csv(run / "results.csv"))
      for (size_t i = 0; i + 1 < row.size(); ++i) table += row[i] + ",";
    tables.push_back(table);
    Json summary = read_json(run / "summary.json");
    for (Json& arm : summary["arms"]) {
      arm.erase("seconds_to");
      arm.erase("ms_per_step");
      tables.back() += arm.dump();
    }
  }
  CHECK(tables[0] == tables[1]);
  CHECK(count_of(tables[0], "\"batch_norm\":") == 2);
}

TEST_CASE("the arms with and without batch norm start from the same weights", "[determinism][compare]") {
  for (const std::string& name : model_names()) {
    if (name == "resnet44" || name == "resnet56" || name == "resnet110") continue;  // more of the same blocks
    INFO(name);
    StateDict on = make_model(name, default_input(name), true, 5)->state_dict(),
              off = make_model(name, default_input(name), false, 5)->state_dict(),
              other = make_model(name, default_input(name), false, 6)->state_dict();
    int weights = 0;
    for (auto& [key, value] : off.items) {
      INFO(key);
      const Tensor* twin = on.find(key);
      if (!twin) {  // the residual networks drop the biases that batch norm would cancel
        CHECK(contains(key, "bias"));
        CHECK(name.rfind("resnet", 0) == 0);
        continue;
      }
      Tensor a = value.contiguous(), b = twin->contiguous();
      REQUIRE(a.bytes() == b.bytes());
      CHECK(std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
      if (!contains(key, "weight")) continue;
      ++weights;
      Tensor c = other.find(key)->contiguous();
      CHECK(std::memcmp(a.raw(), c.raw(), a.bytes()) != 0);
    }
    CHECK(weights >= 3);
  }
}

TEST_CASE("every arm of a comparison sees the same samples whatever its flags", "[determinism][compare]") {
  // One arm alone must do what it does among others.
  const Arguments flags{
      "compare",     "--data",       "synth-digits", "--limit-train", "100", "--limit-test", "40", "--model",
      "sigmoid-mlp", "--batch-size", "24",           "--epochs",      "2",   "--seeds",      "1",  "--seed",
      "4",           "--quiet",      "--json"};
  TemporaryFolder folder;
  Json all = last_line_json(run_sigma(flags + Arguments{"--lr", "0.05,0.2", "--normalize", "unit,standard",
                                                        "--out", (folder / "all").string()})
                                .out);
  REQUIRE(all["arms"].size() == 8);
  Json alone = last_line_json(run_sigma(flags + Arguments{"--lr", "0.2", "--batch-norm", "off", "--normalize",
                                                          "standard", "--out", (folder / "alone").string()})
                                  .out);
  REQUIRE(alone["arms"].size() == 1);
  int found = 0;
  for (const Json& arm : all["arms"]) {
    if (arm["batch_norm"] != false || arm["normalize"] != "standard" || arm["lr"] != 0.2) continue;
    ++found;
    for (const char* key : {"seeds", "test_accuracy", "steps_to", "diverged", "diverged_at"})
      CHECK(arm[key] == alone["arms"][0][key]);
  }
  CHECK(found == 1);
}
