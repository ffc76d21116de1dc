// Training with bfloat16 between the layers: it follows float32, repeats to the bit, and resumes.
#include <cmath>

#include "apps/training/checkpoint.h"
#include "core/parallel.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

struct Restore {
  int threads = num_threads();
  ~Restore() { set_num_threads(threads); }
};

struct Steps {
  std::vector<double> losses;
  std::string sha256;  // of the weights after five steps
  std::map<std::string, Tensor> state;
};

// Weights, buffers and momentum.
std::map<std::string, Tensor> checkpoint_tensors(const Trainer& trainer) {
  std::map<std::string, Tensor> all = trainer.weights();
  for (auto& [name, t] : trainer.optimizer_state()) all.emplace("optim." + name, t);
  return all;
}

Steps train(const Dataset& data, const char* model, bool batch_norm, DType precision, int threads,
            int steps = 20) {
  set_num_threads(threads);
  TrainSetup setup;
  setup.model = model;
  setup.input = {1, 28, 28, 10};
  setup.batch_norm = batch_norm;
  setup.loader.batch_size = 16;
  setup.optimizer = {"sgd", 0.05, 5e-4, {{"momentum", 0.9}}};
  setup.schedule = {parse_schedule("constant"), 20, 0};
  setup.precision = precision;
  setup.seed = 1;
  Trainer trainer(data, setup);
  Steps result;
  for (int i = 0; i < steps; ++i) {
    result.losses.push_back(trainer.step().loss);
    if (i == 4) result.sha256 = weights_sha256(trainer.model());
  }
  result.state = checkpoint_tensors(trainer);
  return result;
}

const Arguments kTiny{
    "train",  "--data",       "synth-digits", "--limit-train", "800", "--limit-test", "500", "--model",
    "lenet5", "--batch-size", "16",           "--epochs",      "3",   "--seed",       "2",   "--threads",
    "2",      "--quiet"};
Arguments to(const fs::path& out) { return {"--out", out.string()}; }

}  // namespace

TEST_CASE("twenty steps in bfloat16 follow the losses of float32, with the same bits for any threads",
          "[precision][training]") {
  Restore restore;
  Dataset data = make_synth_digits(160, 10);
  struct Case {
    const char* model;
    bool batch_norm;
  };
  for (const Case& c : {Case{"cnn", true}, {"cnn", false}, {"resnet20", true}, {"mlp", true}}) {
    INFO(c.model << " batch norm " << c.batch_norm);
    Steps full = train(data, c.model, c.batch_norm, DType::float32, 1),
          half = train(data, c.model, c.batch_norm, DType::bfloat16, 1);
    // The first loss differs by the roundings of one pass; then the paths part slowly.
    CHECK(half.losses[0] == Approx(full.losses[0]).epsilon(0.01));
    CHECK(half.losses[0] != full.losses[0]);  // bfloat16 was there
    double worst = 0, mean = 0;
    for (size_t i = 0; i < 20; ++i) {
      worst = std::max(worst, std::fabs(half.losses[i] - full.losses[i]));
      mean += (half.losses[i] - full.losses[i]) / 20;
    }
    CHECK(worst <= 0.15 * full.losses[0]);
    CHECK(std::fabs(mean) <= 0.05 * full.losses[0]);
    if (c.batch_norm) CHECK(half.losses.back() < 0.8 * half.losses[0]);
    for (auto& [name, t] : half.state) {
      INFO(name);
      CHECK(t.dtype() == full.state.at(name).dtype());  // weights, buffers and momentum: float32
      CHECK(t.dtype() != DType::bfloat16);
    }
    for (int threads : {2, 3})
      CHECK(train(data, c.model, c.batch_norm, DType::bfloat16, threads, 5).sha256 == half.sha256);
  }
}

TEST_CASE("a run in bfloat16 is as accurate as one in float32, and resumes to the same bits",
          "[precision][training]") {
  TemporaryFolder folder;
  const Arguments half{"--precision", "bf16"};
  RunResult r = run_sigma(kTiny + to(folder / "f32"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  r = run_sigma(kTiny + half + to(folder / "bf16"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json f32 = read_json(folder / "f32/summary.json"), bf16 = read_json(folder / "bf16/summary.json");
  double accuracy = bf16["test_accuracy"];
  CHECK(accuracy > 0.8);
  CHECK(std::fabs(accuracy - f32["test_accuracy"].get<double>()) < 0.04);
  CHECK(bf16["weights_sha256"] != f32["weights_sha256"]);
  CHECK(read_json(folder / "bf16/config.json")["precision"] == "bf16");
  auto checkpoint = read_raw((folder / "bf16/weights/last.safetensors").string());
  CHECK(checkpoint.content.tensors.size() > 20);
  for (auto& [name, t] : checkpoint.content.tensors) {
    INFO(name);
    CHECK((t.dtype() == DType::float32 || t.dtype() == DType::int64));
  }

  // Back to the checkpoint before the last, and on with other threads; the precision comes from the folder.
  fs::copy(folder / "bf16", folder / "again", fs::copy_options::recursive);
  fs::remove(folder / "again/summary.json");
  fs::remove(folder / "again/weights/last.safetensors");
  const Arguments resume = Arguments{"train", "--resume", "--quiet"} + to(folder / "again");
  r = run_sigma(resume + Arguments{"--precision", "f32"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--precision was \"bf16\", now \"f32\""));
  r = run_sigma(resume + Arguments{"--threads", "3"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(folder / "again/summary.json")["weights_sha256"] == bf16["weights_sha256"]);
  CHECK(read_text(folder / "again/steps.csv") == read_text(folder / "bf16/steps.csv"));
  r = run_sigma(Arguments{"train", "--resume", "--quiet", "--precision", "bf16"} + to(folder / "f32"));
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--precision was \"f32\", now \"bf16\""));

  // eval of such a checkpoint, in float32 as training's own.
  r = run_sigma({"eval", "--checkpoint", (folder / "bf16/weights/last.safetensors").string(), "--data",
                 "synth-digits", "--limit-test", "500", "--json", "--quiet"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out)["test_accuracy"] == accuracy);
}

TEST_CASE("compare and bench run in bfloat16 and say so", "[precision][cli]") {
  TemporaryFolder folder;
  RunResult r = run_sigma(Arguments{"compare",
                                    "--data",
                                    "synth-digits",
                                    "--limit-train",
                                    "64",
                                    "--limit-test",
                                    "20",
                                    "--model",
                                    "sigmoid-mlp",
                                    "--batch-size",
                                    "16",
                                    "--epochs",
                                    "1",
                                    "--precision",
                                    "bf16",
                                    "--normalize",
                                    "unit",
                                    "--seeds",
                                    "1",
                                    "--threads",
                                    "2",
                                    "--quiet"} +
                          to(folder / "run"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(folder / "run/config.json")["precision"] == "bf16");
  Json arms = read_json(folder / "run/summary.json").at("arms");
  CHECK(arms.size() == 2);
  for (const char* what : {"train", "infer"})
    for (const char* model : {"lenet5", "resnet20"}) {
      INFO(what << " " << model);
      r = run_sigma({"bench", what, "--model", model, "--batch-size", "4", "--threads", "1", "--precision",
                     "bf16", "--batch-norm", "on", "--seconds", "0.05", "--json"});
      INFO(r.err);
      REQUIRE(r.exit_code == 0);
      Json j = last_line_json(r.out);
      CHECK(j["precision"] == "bf16");
      CHECK(j["model"] == model);
      CHECK(j["batch_size"] == 4);
      for (const char* key : {"images_per_s", "ms_per_step", "gflops", "peak_rss_mb"})
        CHECK(j.at(key).get<double>() > 0);
      CHECK(j["images_per_s"].get<double>() * j["ms_per_step"].get<double>() == Approx(4e3).epsilon(.02));
    }
  CHECK(run_sigma({"train", "--precision", "half"}).exit_code == 2);
}
