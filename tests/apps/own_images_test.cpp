// Images and data of the user's own, by the command line: the same bits on any number of threads and after a
// kill, sizes that travel with the checkpoint, the validation part, images that cannot be read.
#include <signal.h>

#include <set>

#include "apps/training/checkpoint.h"
#include "tests/support/runs.h"
#include "tests/support/sample_files.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

Arguments short_run(const char* data = "synth-objects") {
  return {"train", "--model",      "lenet5", "--data",       data,    "--limit-train",
          "60",    "--limit-test", "20",     "--batch-size", "12",    "--epochs",
          "2",     "--save-every", "1",      "--quiet",      "--json"};
}

std::string weights_of(const Arguments& flags, const fs::path& out, const char* threads = "1") {
  const RunResult r = run_sigma(flags + Arguments{"--threads", threads, "--out", out.string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return last_line_json(r.out).at("weights_sha256").get<std::string>();
}

// Two classes that differ, of grey images of all sizes: path/<class>/*.png.
void put_stripes(const fs::path& path, uint32_t each) {
  for (uint32_t kind = 0; kind < 2; ++kind)
    for (uint32_t i = 0; i < each; ++i) {
      const uint32_t h = 20 + i % 9, w = 26 - i % 5;
      std::string pixels = some_pixels(size_t{h} * w, i + 1);
      for (uint32_t p = 0; p < h * w; ++p) {
        const uint32_t at = kind ? p / w : p % w;
        pixels[p] = static_cast<char>((static_cast<uint8_t>(pixels[p]) >> 2) + (at / 3 % 2 ? 150 : 0));
      }
      put(path / (kind ? "rows" : "columns") / fmt::format("{:03}.png", i), png(w, h, 0, pixels));
    }
}

// The same run, killed after its first checkpoint or later, and gone on with.
Json resumed_after_kill(const Arguments& flags, const fs::path& out) {
  Process process(flags + Arguments{"--threads", "1", "--out", out.string()}, out);
  REQUIRE(process.wait_until([&] { return fs::exists(out / "weights/last.safetensors"); }));
  process.signal(SIGKILL);
  process.wait();
  const RunResult r = run_sigma({"train", "--resume", "--quiet", "--json", "--out", out.string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return last_line_json(r.out);
}

}  // namespace

TEST_CASE(
    "every augmentation, sampler and weight gives the same bits with one, two and three threads "
    "and after a kill",
    "[determinism][resume]") {
  TemporaryFolder folder;
  std::vector<Arguments> cases;
  for (const char* augment : {"rotate", "affine", "jitter", "cutout", "mixup", "cutmix",
                              "flip+crop+rotate+affine+jitter+cutout+mixup+cutmix"})
    cases.push_back({"--augment", augment});
  cases.push_back({"--sampler", "balanced"});
  cases.push_back({"--class-weights", "balanced", "--val", "0.2"});
  std::set<std::string> seen{weights_of(short_run(), folder / "plain")};
  for (size_t i = 0; i < cases.size(); ++i) {
    INFO(cases[i][1]);
    auto out = [&](const char* threads) { return folder / fmt::format("{}-{}", i, threads); };
    const std::string one = weights_of(short_run() + cases[i], out("1"));
    CHECK(weights_of(short_run() + cases[i], out("2"), "2") == one);
    CHECK(weights_of(short_run() + cases[i], out("3"), "3") == one);
    CHECK(resumed_after_kill(short_run() + cases[i], out("killed")).at("weights_sha256") == one);
    CHECK(seen.insert(one).second);  // and it does something
  }
}

TEST_CASE("a run of a folder with everything on, killed, resumes to the same bits", "[resume]") {
  TemporaryFolder folder;
  put_stripes(folder / "set", 30);
  const Arguments flags =
      short_run(("folder:" + (folder / "set").string()).c_str()) +
      Arguments{"--image-size", "28",        "--val",
                "0.2",          "--augment", "flip+crop+rotate+affine+jitter+cutout+mixup+cutmix",
                "--sampler",    "balanced",  "--class-weights",
                "rows=2"};
  const std::string whole = weights_of(flags, folder / "whole");
  for (int i = 0; i < 3; ++i) {
    const Json summary = resumed_after_kill(flags, folder / std::to_string(i));
    CHECK(summary.at("weights_sha256") == whole);
    CHECK(summary.at("best_chosen_on") == "validation");
    CHECK(summary.at("validation_accuracy") ==
          read_json(folder / "whole/summary.json").at("validation_accuracy"));
  }
  // Another image of the training set is another run.
  put(folder / "set/rows/000.png", png(9, 9, 0, some_pixels(81)));
  const RunResult r = run_sigma({"train", "--resume", "--quiet", "--out", (folder / "whole").string()});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "the images or labels of the data set changed"));
}

TEST_CASE("the size that images were brought to travels with the network", "[cli]") {
  TemporaryFolder folder;
  put_stripes(folder / "set", 40);
  const std::string set = "folder:" + (folder / "set").string(), run = (folder / "run").string(),
                    last = run + "/weights/last.safetensors", image = (folder / "set/rows/007.png").string();
  const RunResult trained =
      run_sigma({"train", "--data", set, "--image-size", "28", "--val", "0.25", "--model", "lenet5",
                 "--epochs", "6", "--batch-size", "10", "--threads", "1", "--json", "--out", run});
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  const Json summary = last_line_json(trained.out);
  CHECK(summary.at("test_accuracy").is_null());
  CHECK(summary.at("validation_accuracy").get<double>() > 0.8);
  CHECK(!summary.contains("best_test_accuracy"));
  CHECK(contains(read_text(run + "/results.csv"), "validation_loss,validation_accuracy"));
  CHECK(contains(trained.err, "60 training, 20 validation and 0 test images"));
  // Without --data: the images that were set apart, and no others.
  const RunResult eval = run_sigma({"eval", "--checkpoint", last, "--json"});
  INFO(eval.err);
  REQUIRE(eval.exit_code == 0);
  CHECK(last_line_json(eval.out).at("images") == 20);
  CHECK(last_line_json(eval.out).at("part") == "validation");
  CHECK(last_line_json(eval.out).at("test_accuracy") == summary.at("validation_accuracy"));
  CHECK(contains(eval.out, "20 validation images"));
  // Another folder without parts is a test set as a whole.
  put_stripes(folder / "other", 5);
  const RunResult other =
      run_sigma({"eval", "--checkpoint", last, "--data", "folder:" + (folder / "other").string(), "--json"});
  CHECK(last_line_json(other.out).at("images") == 10);
  const RunResult predicted = run_sigma({"predict", "--checkpoint", last, image});
  CHECK(predicted.exit_code == 0);
  CHECK(contains(predicted.out, "007.png: rows"));
  // One that was trained on images of its own size is as strict as before.
  Checkpoint strict = load_checkpoint(last);
  CHECK(strict.network.resizes);
  strict.network.resizes = false;
  save_checkpoint((folder / "strict.safetensors").string(), strict);
  const RunResult refused =
      run_sigma({"predict", "--checkpoint", (folder / "strict.safetensors").string(), image});
  CHECK(refused.exit_code == 3);
  CHECK(contains(refused.err, "007.png: 24x27 pixels, the checkpoint expects 28x28"));
}

TEST_CASE("without a validation part a run says that the best was chosen on the test set", "[cli]") {
  TemporaryFolder folder;
  const RunResult r = run_sigma({"train", "--model", "mlp", "--limit-train", "50", "--limit-test", "20",
                                 "--epochs", "1", "--json", "--out", (folder / "run").string()});
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out).at("best_chosen_on") == "test");
  CHECK(contains(r.err, "best.safetensors was chosen on the test images"));
  const RunResult both =
      run_sigma({"train", "--model", "mlp", "--limit-train", "50", "--limit-test", "20", "--val", "0.2",
                 "--epochs", "2", "--json", "--out", (folder / "both").string()});
  REQUIRE(both.exit_code == 0);
  const Json s = last_line_json(both.out);
  CHECK(s.at("best_chosen_on") == "validation");
  CHECK(s.at("test_accuracy").is_number());
  CHECK(s.at("best_validation_accuracy").is_number());
  const RunResult eval =
      run_sigma({"eval", "--checkpoint", (folder / "both/weights/last.safetensors").string(), "--limit-test",
                 "20", "--json"});
  CHECK(last_line_json(eval.out).at("test_accuracy") == s.at("test_accuracy"));
}

TEST_CASE("bad images are told by the check of a folder, and skipped when asked for", "[cli]") {
  TemporaryFolder folder;
  put_stripes(folder / "set", 8);
  const std::string set = "folder:" + (folder / "set").string();
  const RunResult good = run_sigma({"data", "verify", set, "--json"});
  CHECK(good.exit_code == 0);
  CHECK(last_line_json(good.out).at("good") == true);
  put(folder / "set/rows/x.png", "no image");
  put(folder / "set/rows/y.jpg", "");
  const RunResult bad = run_sigma({"data", "verify", set, "--json"});
  CHECK(bad.exit_code == 3);
  const Json report = last_line_json(bad.out);
  CHECK(report.at("counts").at("unreadable") == 2);
  CHECK(report.at("images") == 18);
  const Arguments train{"train", "--data",  set,   "--image-size", "16", "--val",
                        "0.25",  "--model", "mlp", "--epochs",     "1",  "--json"};
  CHECK(run_sigma(train + Arguments{"--out", (folder / "a").string()}).exit_code == 3);
  const RunResult skipped = run_sigma(train + Arguments{"--skip-bad", "--out", (folder / "b").string()});
  INFO(skipped.err);
  REQUIRE(skipped.exit_code == 0);
  CHECK(contains(skipped.err, "2 images could not be read and were skipped:"));
  const Json s = last_line_json(skipped.out);
  CHECK(s.at("skipped_count") == 2);
  CHECK(contains(s.at("skipped")[0].at("file").get<std::string>(), "rows/x.png"));
}
