// Real MNIST and CIFAR-10, where they have been downloaded: they load, and networks learn on them.
#include <cmath>

#include "apps/training/trainer.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// How many images of each class there are; every label must be a class.
std::vector<int> class_counts(const Split& split, int64_t classes) {
  std::vector<int> counts(static_cast<size_t>(classes));
  for (int64_t i = 0; i < split.size(); ++i)
    ++counts.at(static_cast<size_t>(split.labels.data<int64_t>()[i]));
  return counts;
}

Normalization standard(const Dataset& d) { return make_normalization("standard", d); }

}  // namespace

TEST_CASE("MNIST loads whole, with the known statistics", "[real-data]") {
  fs::path base = real_data("mnist");
  if (base.empty()) return skip("MNIST is not downloaded (sigma data fetch mnist)");
  Dataset d = load_dataset("mnist", {base.string(), 0, 0});
  CHECK(d.train.images.shape() == Shape{60000, 1, 28, 28});
  CHECK(d.test.images.shape() == Shape{10000, 1, 28, 28});
  CHECK(class_counts(d.train, 10) ==
        std::vector<int>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(class_counts(d.test, 10) == std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
  // The constants that the field writes as Normalize((0.1307,), (0.3081,)).
  CHECK(standard(d).mean[0] == Approx(0.1307).margin(5e-5));
  CHECK(standard(d).std[0] == Approx(0.3081).margin(5e-5));
}

TEST_CASE("CIFAR-10 loads whole, with the known statistics", "[real-data]") {
  fs::path base = real_data("cifar-10-batches-bin");
  if (base.empty()) return skip("CIFAR-10 is not downloaded (sigma data fetch cifar10)");
  Dataset d = load_dataset("cifar10", {base.string(), 0, 0});
  CHECK(d.train.images.shape() == Shape{50000, 3, 32, 32});
  CHECK(d.test.images.shape() == Shape{10000, 3, 32, 32});
  CHECK(class_counts(d.train, 10) == std::vector<int>(10, 5000));
  CHECK(class_counts(d.test, 10) == std::vector<int>(10, 1000));
  CHECK(d.class_names.front() == "airplane");
  CHECK(d.class_names.back() == "truck");
  // Wide enough for copies whose images went through JPEG, narrow enough to tell the channels apart.
  const double mean[] = {0.4914, 0.4822, 0.4465}, std[] = {0.2470, 0.2435, 0.2616};
  for (size_t c = 0; c < 3; ++c) {
    CHECK(standard(d).mean[c] == Approx(mean[c]).margin(2e-3));
    CHECK(standard(d).std[c] == Approx(std[c]).margin(2e-3));
  }
}

TEST_CASE("a CNN with batch norm learns MNIST in one pass over a tenth of it", "[real-data]") {
  fs::path base = real_data("mnist");
  if (base.empty()) return skip("MNIST is not downloaded (sigma data fetch mnist)");
  TemporaryFolder folder;
  RunResult r = run_sigma({"train",        "--data",       "mnist",
                           "--data-dir",   base.string(),  "--limit-train",
                           "6000",         "--limit-test", "2000",
                           "--model",      "cnn",          "--batch-norm",
                           "on",           "--epochs",     "1",
                           "--batch-size", "50",           "--quiet",
                           "--json",       "--out",        (folder / "run").string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json s = last_line_json(r.out);
  CHECK(s["test_accuracy"] > 0.95);
  CHECK(s["steps"] == 120);
  r = run_sigma({"data", "verify", "mnist", "--data-dir", base.string()});
  INFO(r.out << r.err);
  CHECK(r.exit_code == 0);
}

TEST_CASE("half the parameters of a network that reads MNIST lose at most 0.3 points", "[real-data]") {
  fs::path base = real_data("mnist");
  if (base.empty()) return skip("MNIST is not downloaded (sigma data fetch mnist)");
  if (kSanitized) return skip("three passes over MNIST take minutes when every access to memory is checked");
  TemporaryFolder folder;
  const std::string run = (folder / "run").string(), small = (folder / "small.safetensors").string();
  const Arguments data{"--data-dir", base.string(), "--json", "--quiet"};
  RunResult r = run_sigma(
      Arguments{"train", "--data", "mnist", "--model", "mlp", "--epochs", "3", "--out", run} + data);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json trained = last_line_json(r.out);
  REQUIRE(trained["test_accuracy"] >= 0.98);
  r = run_sigma(Arguments{"compress", "--checkpoint", run + "/weights/last.safetensors", "--ratio", "0.5",
                          "--out", small} +
                data);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json j = last_line_json(r.out);
  CHECK(j["accuracy_before"] == trained["test_accuracy"]);
  CHECK(2 * j["parameters_after"].get<int64_t>() <= j["parameters_before"].get<int64_t>());
  CHECK(j["accuracy_after"].get<double>() >= j["accuracy_before"].get<double>() - 0.003);
  r = run_sigma(Arguments{"eval", "--checkpoint", small} + data);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out)["images"] == 10000);
  CHECK(last_line_json(r.out)["test_accuracy"] == j["accuracy_after"]);
}

TEST_CASE("a residual network learns on CIFAR-10 from its first steps", "[real-data]") {
  fs::path base = real_data("cifar-10-batches-bin");
  if (base.empty()) return skip("CIFAR-10 is not downloaded (sigma data fetch cifar10)");
  Dataset d = load_dataset("cifar10", {base.string(), 32, 32});  // one batch, seen five times
  TrainSetup setup;
  setup.model = "resnet20";
  setup.input = {3, 32, 32, 10};
  setup.loader.batch_size = 32;
  setup.loader.normalization = standard(d);
  setup.optimizer = {"sgd", 0.02, 5e-4, {{"momentum", 0.9}}};
  setup.schedule = {parse_schedule("constant"), 5, 0};
  Trainer trainer(d, setup);
  double before = INFINITY;
  for (int i = 0; i < 5; ++i) {
    StepResult r = trainer.step();
    INFO("step " << i << " loss " << r.loss << " before " << before);
    CHECK(std::isfinite(r.loss));
    CHECK(r.loss < before);
    before = r.loss;
  }
}
