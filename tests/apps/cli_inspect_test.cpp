// `sigma inspect`: the page, its pictures and numbers, and the JSON agree; networks without batch norm,
// checkpoints, and what is refused.
#include <cmath>

#include "apps/training/checkpoint.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const Arguments kSmall{"inspect",
                       "--limit-train",
                       "96",
                       "--limit-test",
                       "10",
                       "--model",
                       "conv 4, bn, relu, maxpool 4, flatten, linear 6, bn, relu, linear classes",
                       "--batch-size",
                       "16",
                       "--steps",
                       "5",
                       "--threads",
                       "1"};

Arguments to(const fs::path& folder) { return {"--out", folder.string(), "--json"}; }

}  // namespace

TEST_CASE("inspect writes a page, and numbers that obey the formulas", "[cli][inspect]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  const RunResult r = run_sigma(kSmall + Arguments{"--channels", "0,5"} + to(run));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const Json s = last_line_json(r.out);
  CHECK(s == read_json(run / "summary.json"));
  CHECK(s.at("layer") == "bn2");
  CHECK(contains(r.out, "bn2.num_batches_tracked"));
  const std::string html = read_text(run / "report.html");
  for (const char* name : {"statistics", "variance", "outputs", "gap", "batch_size", "momentum", "eps",
                           "depth", "activations", "gradients", "pixels", "image"}) {
    INFO(name);
    CHECK(read_image((run / (std::string(name) + ".png")).string()).width > 300);
    CHECK(read_csv(run / (std::string(name) + ".csv")).size() > 3);
    CHECK(contains(html, std::string(name) + ".csv"));
  }
  CHECK(contains(html, "--channels 0,5"));
  // The rule of the running statistics, in the numbers on the disk.
  const auto table = read_csv(run / "statistics.csv");
  REQUIRE(table.size() == 1 + 2 * 5);
  double mean = 0, var = 1;
  for (size_t i = 1; i <= 5; ++i) {
    const auto number = [&](size_t column) { return std::stod(table[i][column]); };
    CHECK(table[i][2] == "16");
    CHECK(number(5) == Approx(number(4) * 16 / 15).epsilon(1e-7));
    mean = 0.9 * mean + 0.1 * number(3);
    var = 0.9 * var + 0.1 * number(5);
    CHECK(number(6) == Approx(mean).margin(1e-5));
    CHECK(number(7) == Approx(var).margin(1e-5));
  }
  CHECK(s.at("variance_by_batch_size").size() == 5);
  for (const Json& v : s.at("variance_by_batch_size"))
    CHECK(v.at("unbiased").get<double>() * (v.at("values").get<double>() - 1) ==
          Approx(v.at("biased").get<double>() * v.at("values").get<double>()));
  CHECK(s.at("gap").size() == 6);
  CHECK(s.at("gap_by_batch_size").size() == 5);  // 2 to 32 of 64 images
  CHECK(s.at("momenta").size() == 4);
  REQUIRE(s.at("networks").size() == 2);
  CHECK(s.at("networks")[0].at("layers").size() == 9);
  CHECK(s.at("networks")[1].at("layers").size() == 7);
  CHECK(s.at("normalize").at("back_error").get<double>() < 1e-3);
  // Any number of threads gives the same, and a folder that holds a run is not overwritten unasked.
  CHECK(run_sigma(kSmall + to(run)).exit_code == 2);
  Arguments three = kSmall;
  three.back() = "3";
  const RunResult again =
      run_sigma(three + Arguments{"--channels", "0,5", "--overwrite", "--quiet"} + to(run));
  CHECK(last_line_json(again.out) == s);
}

TEST_CASE("inspect goes on from a checkpoint, and without batch norm shows what there is", "[cli][inspect]") {
  TemporaryFolder folder;
  Arguments train = kSmall;
  train[0] = "train";
  train.resize(train.size() - 4);
  REQUIRE(
      run_sigma(train + Arguments{"--epochs", "1", "--out", (folder / "t").string(), "--quiet"}).exit_code ==
      0);
  const std::string file = (folder / "t/weights/last.safetensors").string();
  const Arguments from{"inspect", "--checkpoint", file, "--limit-train", "96", "--batch-size",
                       "16",      "--steps",      "2"};
  RunResult r = run_sigma(from + Arguments{"--layer", "bn1"} + to(folder / "c"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const Json s = last_line_json(r.out);
  CHECK(s.at("layer") == "bn1");
  CHECK(s.at("networks").size() == 3);
  CHECK(s.at("networks")[0].at("network") == "the checkpoint");
  std::vector<double> seen;
  for (const Json& e : s.at("state"))
    if (e.at("name") == "bn1.num_batches_tracked") seen.push_back(e.at("mean"));
  CHECK(seen == std::vector<double>{6 + 2});

  r = run_sigma(kSmall + Arguments{"--batch-norm", "off"} + to(folder / "off"));
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.out, "The network has no batch norm"));
  const Json off = last_line_json(r.out);
  CHECK(off.at("layer").is_null());
  CHECK(off.at("networks")[1].at("network") == "with batch norm");
  CHECK(!fs::exists(folder / "off/gap.csv"));
  CHECK(fs::exists(folder / "off/activations.png"));
}

TEST_CASE("inspect tells of what diverged, of a text without places, and of a whitening", "[cli][inspect]") {
  TemporaryFolder folder;
  const Arguments huge{"inspect",
                       "--limit-train",
                       "96",
                       "--model",
                       "flatten, linear 6, bn, relu, linear classes",
                       "--batch-size",
                       "16",
                       "--steps",
                       "6",
                       "--lr",
                       "1e30"};
  RunResult r = run_sigma(huge + to(folder / "huge"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json s = last_line_json(r.out);
  const int64_t at = s.at("networks")[0].at("diverged_at");
  CHECK(at < 6);
  CHECK(s.at("steps") == at);
  CHECK(contains(r.out, "The network with batch norm diverged: after "));
  CHECK(!contains(r.out, "nan%"));
  CHECK(contains(read_text(folder / "huge/report.html"), "diverged: after "));

  r = run_sigma(Arguments{"inspect", "--data", "synth-digits", "--limit-train", "64", "--model",
                          "conv 4 stride=4, relu, flatten, linear classes", "--normalize", "zca",
                          "--batch-size", "16", "--steps", "2"} +
                to(folder / "zca"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  s = last_line_json(r.out);
  CHECK(s.at("normalize").at("back_error").is_null());
  CHECK(s.at("normalize").at("new_std").size() == 1);
  CHECK(s.at("networks").size() == 1);
  CHECK(contains(r.out, "has no place for a normalization"));

  // Images in colour, and more of them asked for than there are.
  r = run_sigma(Arguments{"inspect", "--data", "synth-objects", "--limit-train", "64", "--model",
                          "conv 4 stride=4, bn, relu, flatten, linear classes", "--batch-size", "2000",
                          "--steps", "2", "--quiet"} +
                to(folder / "all"));
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out).at("normalize").at("new_std").size() == 3);
}

TEST_CASE("inspect refuses layers and channels that there are not", "[cli][inspect]") {
  auto refused = [](const Arguments& more, const std::string& message) {
    const RunResult r = run_sigma(kSmall + more + Arguments{"--quiet", "--out", "/nonexistent/run"});
    INFO(r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, message));
  };
  refused({"--layer", "bn9"}, "--layer: \"bn9\" is no batch norm of the network, expected one of bn1, bn2");
  refused({"--layer", "bn1", "--batch-norm", "off"}, "--layer: the network has no layer that keeps running");
  refused({"--channels", "6"}, "--channels: bn2 has channels 0 to 5, got 6");
  refused({"--channels", "0.5"}, "--channels: expected a whole number");
  refused({"--channels", "-1"}, "--channels: expected at least 0");
  refused({"--steps", "0"}, "--steps: expected at least 1");
}
