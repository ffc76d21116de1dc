// The command line as documented: run folders, the files in them, flags, configuration, messages.
#include <fstream>
#include <regex>

#include "apps/training/checkpoint.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const Arguments kTiny{"train", "--data",  "synth-digits", "--limit-train", "96", "--limit-test",
                      "40",    "--model", "lenet5",       "--batch-size",  "32", "--epochs",
                      "2"};

Arguments to(const fs::path& out) { return {"--out", out.string()}; }

size_t files_in(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::recursive_directory_iterator(folder), {}));
}

double number(const std::string& text) {
  size_t used = 0;
  double v = std::stod(text, &used);
  CHECK(used == text.size());
  return v;
}

}  // namespace

TEST_CASE("train writes every file, and summary.json agrees with results.csv", "[cli]") {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  RunResult r = run_sigma(kTiny + to(run) + Arguments{"--json"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  for (const char* name :
       {"config.json", "env.json", "results.csv", "steps.csv", "curves.png", "curves.svg", "confusion.csv",
        "confusion.png", "summary.json", "weights/last.safetensors", "weights/best.safetensors"}) {
    INFO(name);
    CHECK(fs::is_regular_file(run / name));
    CHECK(fs::file_size(run / name) > 0);
  }
  Json s = read_json(run / "summary.json");
  CHECK(last_line_json(r.out) == s);
  for (const char* key : {"test_accuracy", "best_test_accuracy", "test_loss", "train_loss", "epochs",
                          "seconds", "images_per_s"}) {
    INFO(key);
    CHECK(s.at(key).is_number());
  }
  for (const char* key : {"steps", "parameters", "seed"}) CHECK(s.at(key).is_number_integer());
  CHECK(std::regex_match(s.at("weights_sha256").get<std::string>(), std::regex("[0-9a-f]{64}")));
  CHECK(s["epochs"] == 2.0);
  CHECK(s["steps"] == 6);
  CHECK(s["parameters"] == 62158);
  CHECK(s["seed"] == 0);
  CHECK(s["seconds"] > 0.0);
  CHECK(s["images_per_s"] > 0.0);

  auto rows = read_csv(run / "results.csv");
  REQUIRE(rows.size() == 3);  // a header and one row an epoch
  CHECK(rows[0] == Arguments{"epoch", "step", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
                             "lr", "seconds", "images_per_s", "data_percent"});
  CHECK(rows[1][0] == "1");
  CHECK(rows[2][0] == "2");
  CHECK(rows[2][1] == "6");
  CHECK(number(rows[2][2]) == Approx(s["train_loss"].get<double>()).epsilon(1e-5));
  CHECK(number(rows[2][4]) == Approx(s["test_loss"].get<double>()).epsilon(1e-5));
  CHECK(number(rows[2][5]) == Approx(s["test_accuracy"].get<double>()).margin(1e-5));
  CHECK(s["best_test_accuracy"].get<double>() ==
        Approx(std::max(number(rows[1][5]), number(rows[2][5]))).margin(1e-5));
  auto steps = read_csv(run / "steps.csv");
  REQUIRE(steps.size() == 7);
  CHECK(steps[0] == Arguments{"step", "epoch", "loss", "accuracy", "lr"});
  double mean = 0;
  for (size_t i = 1; i <= 6; ++i) {
    CHECK(steps[i][0] == std::to_string(i));
    CHECK(steps[i][1] == (i <= 3 ? "1" : "2"));
    if (i > 3) mean += number(steps[i][2]) / 3;
  }
  CHECK(mean == Approx(number(rows[2][2])).epsilon(1e-4));

  auto confusion = read_csv(run / "confusion.csv");
  REQUIRE(confusion.size() == 11);
  double right = 0, all = 0;
  for (size_t i = 1; i <= 10; ++i)
    for (size_t j = 1; j <= 10; ++j)
      all += number(confusion[i][j]), right += i == j ? number(confusion[i][j]) : 0;
  CHECK(all == 40);
  CHECK(right / all == Approx(s["test_accuracy"].get<double>()));

  Json env = read_json(run / "env.json");
  for (const char* key : {"version", "cpu", "threads", "simd", "blas", "blas_core"}) CHECK(env.contains(key));
  // The checkpoint has the constants that eval and predict apply again.
  Json meta = read_raw((run / "weights/last.safetensors").string()).meta;
  CHECK(meta["normalize"] == "standard");
  CHECK(meta["mean"].size() == 1);
  CHECK(meta["classes"].size() == 10);
  CHECK(contains(r.err, "normalize standard: mean "));
}

TEST_CASE("config.json of a run repeats it, and flags override it", "[cli]") {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  REQUIRE(run_sigma(kTiny + to(run) +
                    Arguments{"--quiet", "--nesterov", "--normalize", "standard", "--mean", "0.25", "--std",
                              "0.5", "--augment", "crop", "--seed", "9"})
              .exit_code == 0);
  std::string hash = read_json(run / "summary.json")["weights_sha256"];
  Json config = read_json(run / "config.json");
  CHECK(config["mean"] == Json{0.25});
  auto with = [&](const char* name, const Arguments& flags) {
    RunResult r = run_sigma(Arguments{"train", "--config", (run / "config.json").string(), "--quiet"} +
                            to(folder / name) + flags);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(read_json(folder / name / "config.json").size() == config.size());
    return read_json(folder / name / "summary.json");
  };
  Json again = with("again", {});
  CHECK(again["weights_sha256"] == hash);
  CHECK(read_json(folder / "again" / "config.json") == config);
  CHECK(read_text(folder / "again" / "steps.csv") == read_text(run / "steps.csv"));
  Json other = with("other", {"--seed", "10", "--epochs", "1"});
  CHECK(other["seed"] == 10);
  CHECK(other["steps"] == 3);
  CHECK(other["weights_sha256"] != hash);

  auto refused = [&](const std::string& text, const std::string& message) {
    write_file_atomic((folder / "c.json").string(), text);
    RunResult r = run_sigma({"train", "--config", (folder / "c.json").string(), "--dry-run"});
    INFO(r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "c.json"));
    CHECK(contains(r.err, message));
  };
  refused(R"({"epocs": 3})", "unknown key \"epocs\"; did you mean \"epochs\"?");
  refused(R"({"epochs": {}})", "\"epochs\"");
  refused("[1]", "expected a JSON object");
  refused("{", "the JSON is cut off");
}

TEST_CASE("runs are numbered, and never overwritten unless asked", "[cli]") {
  TemporaryFolder folder;
  const Arguments quick{"train", "--data",  "synth-digits", "--limit-train", "32", "--limit-test",
                        "10",    "--model", "sigmoid-mlp",  "--max-steps",   "1",  "--quiet"};
  auto in = [&](const Arguments& more) { return run_sigma_in(folder.path(), quick + more); };
  CHECK(in({"--seed", "1"}).exit_code == 0);
  CHECK(in({"--seed", "2"}).exit_code == 0);
  CHECK(in({"--seed", "3"}).exit_code == 0);
  CHECK(read_json(folder / "runs/train/summary.json")["seed"] == 1);
  CHECK(read_json(folder / "runs/train-2/summary.json")["seed"] == 2);
  CHECK(read_json(folder / "runs/train-3/summary.json")["seed"] == 3);
  CHECK(run_sigma_in(folder.path(), {"compare", "--data", "synth-digits", "--limit-train", "32",
                                     "--limit-test", "10", "--model", "sigmoid-mlp", "--max-steps", "1",
                                     "--quiet", "--seeds", "1", "--normalize", "unit", "--batch-norm", "on"})
            .exit_code == 0);
  CHECK(fs::exists(folder / "runs/compare/summary.json"));

  std::string before = read_text(folder / "runs/train/weights/last.safetensors");
  RunResult r = in({"--out", "runs/train"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "runs/train holds a run already"));
  CHECK(read_text(folder / "runs/train/weights/last.safetensors") == before);
  write_file_atomic((folder / "runs/train/notes.txt").string(), "mine");
  CHECK(in({"--out", "runs/train", "--overwrite", "--seed", "4", "--max-steps", "2"}).exit_code == 0);
  CHECK(read_json(folder / "runs/train/summary.json")["seed"] == 4);
  CHECK(read_csv(folder / "runs/train/steps.csv").size() == 3);
  CHECK(read_text(folder / "runs/train/notes.txt") == "mine");  // other files are not the program's to remove
  CHECK(in({"--overwrite", "--seed", "5"}).exit_code == 0);     // without --out: the latest
  CHECK(read_json(folder / "runs/train-3/summary.json")["seed"] == 5);
  CHECK(!fs::exists(folder / "runs/train-4"));

  fs::create_directories(folder / "photos");
  write_file_atomic((folder / "photos/holiday.jpg").string(), "x");
  for (const char* how : {"--quiet", "--overwrite"}) {
    r = in({"--out", "photos", how});
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "photos is not empty and holds no run"));
  }
  r = in({"--out", "photos/holiday.jpg", "--overwrite"});
  CHECK(r.exit_code == 2);
  CHECK(files_in(folder / "photos") == 1);
  r = in({"--out", "photos/holiday.jpg/run"});
  CHECK(r.exit_code == 4);
  CHECK(contains(r.err, "photos/holiday.jpg/run"));
}

TEST_CASE("a dry run checks everything and creates nothing", "[cli]") {
  TemporaryFolder folder;
  for (const char* verb : {"train", "compare"}) {
    RunResult r =
        run_sigma_in(folder.path(), {verb, "--limit-train", "32", "--limit-test", "10", "--dry-run"});
    INFO(verb << r.err);
    CHECK(r.exit_code == 0);
    CHECK(Json::parse(r.out, nullptr, false).at("data") == "synth-digits");
    r = run_sigma_in(folder.path(),
                     {verb, "--limit-train", "32", "--limit-test", "10", "--dry-run", "--json", "--quiet"});
    CHECK(last_line_json(r.out).contains("normalize"));
    CHECK(r.err.empty());
    CHECK(run_sigma_in(folder.path(), {verb, "--lr", "fast", "--dry-run"}).exit_code == 2);
    CHECK(run_sigma_in(folder.path(), {verb, "--data", "nothing", "--dry-run"}).exit_code == 2);
    CHECK(run_sigma_in(folder.path(), {verb, "--data", "folder:nowhere", "--dry-run"}).exit_code == 4);
  }
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("progress lines have the documented form, and --quiet has none", "[cli]") {
  TemporaryFolder folder;
  RunResult r = run_sigma(kTiny + to(folder / "a") +
                          Arguments{"--lr", "0.1", "--schedule", "constant", "--threads", "1"});
  REQUIRE(r.exit_code == 0);
  CHECK(r.out.empty());
  // epoch 2/5 [150/469] loss 0.2113 (avg 0.2402) acc 93.1% lr 0.100 8.1k img/s data 3% ETA 12s
  std::regex form(
      R"(epoch \d+/2 \[[1-3]/3\] loss \d+\.\d{4} \(avg \d+\.\d{4}\) acc \d+\.\d% lr 0\.100 [0-9.]+k? img/s data \d+% ETA (\d+h\d\dm|\d+m\d\ds|\d+s))");
  std::istringstream lines(r.err);
  int progress = 0, measured = 0;
  for (std::string line; std::getline(lines, line);) {
    if (contains(line, " img/s ")) {
      INFO(line);
      CHECK(std::regex_match(line, form));
      ++progress;
    }
    measured += contains(line, "| test loss ");
  }
  CHECK(progress >= 1);
  CHECK(progress <= 6);
  CHECK(measured == 2);
  CHECK(!contains(r.err, "\r"));
  CHECK(!contains(r.err, "\033"));
  r = run_sigma(kTiny + to(folder / "b") + Arguments{"--quiet"});
  CHECK(r.exit_code == 0);
  CHECK(r.err.empty());
  CHECK(r.out.empty());
  r = run_sigma(kTiny + to(folder / "c") + Arguments{"--quiet", "--json"});
  CHECK(r.err.empty());
  CHECK(count_of(r.out, "\n") == 1);
  CHECK(last_line_json(r.out)["steps"] == 6);
}

TEST_CASE("a run that diverges says where, and leaves the checkpoints before it alone", "[cli]") {
  TemporaryFolder folder;
  const Arguments wild{"train", "--data",       "synth-digits", "--limit-train", "500",  "--limit-test",
                       "40",    "--model",      "mlp",          "--normalize",   "none", "--batch-norm",
                       "off",   "--batch-size", "32",           "--epochs",      "2",    "--quiet"};
  auto finite = [&](const fs::path& path) {
    for (auto& [name, t] : read_raw(path.string()).content.tensors)
      for (double v : t.to_vector())
        if (!std::isfinite(v)) return false;
    return true;
  };
  auto step_of = [&](const fs::path& path) {
    return read_raw(path.string()).meta["progress"]["step"].get<int>();
  };
  for (const char* lr : {"10", "1000"}) {
    fs::path run = folder / lr;
    RunResult r = run_sigma(wild + to(run) + Arguments{"--lr", lr});
    INFO(r.err);
    CHECK(r.exit_code == 5);
    CHECK(std::regex_search(
        r.err, std::regex(R"(^error: step \d+: the loss is (nan|inf), first in the output of fc\d; try)")));
    CHECK(!fs::exists(run / "summary.json"));
    CHECK(step_of(run / "weights/last.safetensors") == 0);  // that of the start
    CHECK(!fs::exists(run / "weights/best.safetensors"));
  }

  // The update overflows after a finite loss: at once, before a checkpoint, and as the last of the run.
  const Arguments overflow[] = {{"--save-every", "1"}, {"--eval-every", "1"}, {"--max-steps", "1"}};
  for (const Arguments& how : overflow) {
    fs::path run = folder / how[0];
    RunResult r = run_sigma(wild + to(run) + Arguments{"--lr", "1e38"} + how);
    INFO(how[0] << r.err);
    CHECK(r.exit_code == 5);
    CHECK(std::regex_search(
        r.err, std::regex(R"(^error: step 1: after it fc\d\.(weight|bias) is not finite; try)")));
    CHECK(!fs::exists(run / "summary.json"));
    CHECK(fs::exists(run / "weights/diverged-1.safetensors"));
    CHECK(step_of(run / "weights/last.safetensors") == 0);
    CHECK(finite(run / "weights/last.safetensors"));
    CHECK(!fs::exists(run / "weights/best.safetensors"));
  }
}
