// Flags of training that say what is trained, how fast and how long: --ema, --decay, --lr-scale, --freeze,
// --patience, a longer --epochs with --resume, --checkpoint with other classes; and lr-find.
#include "apps/training/checkpoint.h"
#include "core/math.h"
#include "tests/support/runs.h"
#include "tests/support/sample_files.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// Four steps an epoch.
const Arguments kTiny{"train",   "--limit-train", "64",           "--limit-test", "20",
                      "--model", "lenet5",        "--batch-size", "16",           "--threads",
                      "1",       "--quiet",       "--json"};

Arguments to(const fs::path& out) { return {"--out", out.string()}; }
Json train(const Arguments& more) {
  const RunResult r = run_sigma(kTiny + more);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return last_line_json(r.out);
}

}  // namespace

TEST_CASE("a run with every flag of run control is stopped and resumed to the same weights",
          "[cli][resume]") {
  TemporaryFolder folder;
  for (const Arguments& flags :
       {Arguments{"--ema", "0.9", "--optimizer", "muon", "--freeze", "conv1,bn1", "--lr-scale", "fc*=0.5"},
        Arguments{"--decay", "weights", "--patience", "9", "--lr-scale", "conv*=0.1", "--optimizer",
                  "adamw"}}) {
    INFO(flags[0]);
    const fs::path whole = folder / ("whole" + flags[0]), parts = folder / ("parts" + flags[0]);
    const Json want = train(flags + Arguments{"--epochs", "2"} + to(whole));
    // The checkpoint that a killed process leaves: of the first epoch.
    fs::copy(whole, parts, fs::copy_options::recursive);
    fs::rename(parts / "weights" / "last-previous.safetensors", parts / "weights" / "last.safetensors");
    const RunResult r = run_sigma(Arguments{"train", "--resume", "--quiet", "--json"} + to(parts));
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(last_line_json(r.out).at("weights_sha256") == want.at("weights_sha256"));
    const RunResult e = run_sigma({"eval", "--checkpoint", (whole / "weights" / "last.safetensors").string(),
                                   "--limit-test", "20", "--quiet", "--json"});
    CHECK(last_line_json(e.out).at("test_loss") == want.at("test_loss"));
    const Json config = read_json(whole / "config.json");
    CHECK(config.at("decay") == "weights");  // Muon's default
    if (flags[0] != "--ema") continue;
    CHECK(want.at("frozen").at("layers") == Json::array({"conv1", "bn1"}));
    CHECK(want.at("frozen").at("values") == 6 * 25 + 6 + 4 * 6 + 1);
    const RunResult said = run_sigma(Arguments{"train", "--resume"} + to(parts));
    CHECK(contains(said.err, "frozen, and the same bit for bit as the run began: conv1, bn1"));
    CHECK(contains(run_sigma(Arguments{"train", "--resume", "--ema", "0.5"} + to(parts)).err,
                   "--ema was 0.9, now 0.5"));
  }
  const Json plain = train(Arguments{"--epochs", "1"} + to(folder / "plain"));
  CHECK_FALSE(plain.contains("frozen"));
  CHECK_FALSE(plain.contains("ended_early"));
  CHECK(train(Arguments{"--epochs", "1", "--decay", "all"} + to(folder / "all")).at("weights_sha256") ==
        plain.at("weights_sha256"));
}

TEST_CASE("a finished run goes on with more epochs, never with fewer", "[cli][resume]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  train(Arguments{"--epochs", "2", "--schedule", "constant"} + to(run));
  const Json want = train(Arguments{"--epochs", "3", "--schedule", "constant"} + to(folder / "whole"));
  const Arguments again = Arguments{"train", "--resume", "--threads", "1", "--json"} + to(run);
  RunResult r = run_sigma(again + Arguments{"--epochs", "3"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.err, "from step 8 on the rates are those of a constant schedule of 12 steps"));
  const Json got = last_line_json(r.out);
  CHECK(got.at("weights_sha256") == want.at("weights_sha256"));
  CHECK(got.at("extended_at") == Json::array({8}));
  CHECK(read_json(run / "config.json").at("epochs") == 3);
  CHECK(read_csv(run / "results.csv").size() == 4);
  r = run_sigma(again + Arguments{"--epochs", "2"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--resume: the run has 12 steps and can only become longer, got 8"));
  r = run_sigma(again + Arguments{"--epochs", "4", "--lr", "0.01"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--lr was \"0.05\", now \"0.01\""));
}

TEST_CASE("patience ends a run early and the summary tells", "[cli]") {
  TemporaryFolder folder;
  const RunResult r = run_sigma(Arguments{"train",
                                          "--limit-train",
                                          "64",
                                          "--limit-test",
                                          "20",
                                          "--model",
                                          "lenet5",
                                          "--batch-size",
                                          "16",
                                          "--threads",
                                          "1",
                                          "--json",
                                          "--epochs",
                                          "9",
                                          "--lr",
                                          "0",
                                          "--batch-norm",
                                          "off",
                                          "--patience",
                                          "2"} +
                                to(folder / "run"));
  REQUIRE(r.exit_code == 0);
  const Json s = last_line_json(r.out);
  CHECK(s.at("ended_early") == true);
  CHECK(s.at("best_step") == 4);
  CHECK(s.at("steps") == 12);
  CHECK(contains(r.err, "ended early: no better test accuracy in 2 epochs since step 4"));
  CHECK(train(Arguments{"--epochs", "1", "--patience", "2"} + to(folder / "whole")).at("ended_early") ==
        false);
}

TEST_CASE("a checkpoint is fine-tuned for other classes with a new head", "[cli]") {
  TemporaryFolder folder;
  const auto put_set = [&](const std::string& name, const std::vector<std::string>& kinds) {
    uint32_t seed = 0;
    for (const std::string& kind : kinds)
      for (const char* file : {"train/?/a.png", "train/?/b.png", "test/?/a.png"}) {
        std::string path = file;
        path.replace(path.find('?'), 1, kind);
        put(folder / name / path, png(28, 28, 0, some_pixels(28 * 28, ++seed)));
      }
    return "folder:" + (folder / name).string();
  };
  train(Arguments{"--epochs", "1"} + to(folder / "digits"));
  const std::string checkpoint = (folder / "digits" / "weights" / "last.safetensors").string();
  const std::string three = put_set("three", {"cat", "dog", "owl"});
  auto tune = [&](const std::string& from, const std::string& data, const fs::path& out) {
    return run_sigma(Arguments{"train", "--checkpoint", from, "--data", data, "--epochs", "1", "--threads",
                               "1", "--json", "--freeze", "conv*", "--batch-size", "2"} +
                     to(out));
  };
  RunResult r = tune(checkpoint, three, folder / "tuned");
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.err, "fc3 is drawn anew for the 3 classes of " + three));
  const std::string tuned = (folder / "tuned" / "weights" / "last.safetensors").string();
  const Checkpoint before = load_checkpoint(checkpoint), after = load_checkpoint(tuned);
  CHECK(after.network.class_names == std::vector<std::string>{"cat", "dog", "owl"});
  CHECK(after.network.normalization.mean == before.network.normalization.mean);
  CHECK(identical(before.weights.at("conv2.weight"), after.weights.at("conv2.weight")));
  CHECK(after.weights.at("fc3.weight").dim(0) == 3);
  // Of the same names the head is kept; of others, though as many, it is not.
  r = tune(tuned, three, folder / "again");
  REQUIRE(r.exit_code == 0);
  CHECK_FALSE(contains(r.err, "drawn anew"));
  r = tune(tuned, put_set("birds", {"emu", "jay", "owl"}), folder / "birds-run");
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.err, "fc3 is drawn anew for the 3 classes"));
}

TEST_CASE("patterns that choose nothing are refused with the nearest path", "[cli]") {
  auto refused = [](const Arguments& flags, const std::string& message) {
    const RunResult r = run_sigma(kTiny + flags + Arguments{"--dry-run"});
    INFO(r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, message));
  };
  refused({"--freeze", "convv1"},
          "--freeze: \"convv1\" matches no layer of the network; did you mean conv1?");
  refused({"--lr-scale", "fc9=2"},
          "--lr-scale: \"fc9\" matches no parameter of the network; did you mean fc1?");
  refused({"--lr-scale", "fc1"}, "--lr-scale: expected PATTERN=FACTOR");
  refused({"--decay", "some"}, "--decay: expected weights or all, got \"some\"");
  refused({"--ema", "1"}, "--ema: expected 0 to less than 1, got 1");
  refused({"--ns-steps", "3"}, "--ns-steps: is for --optimizer muon, got sgd");
  refused({"--optimizer", "muon", "--ns-steps", "2.5"}, "--ns-steps: expected a whole number, got 2.5");
  const RunResult r = run_sigma({"compare", "--lr-scale", "fcc1=2", "--dry-run", "--quiet"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--lr-scale: \"fcc1\" matches no parameter"));
}

TEST_CASE("lr-find sweeps, draws, and prints a command that trains", "[cli]") {
  TemporaryFolder folder;
  const fs::path run = folder / "find";
  const Arguments flags{"lr-find", "--limit-train", "640", "--limit-test", "20", "--model",
                        "lenet5",  "--batch-size",  "32",  "--steps",      "60", "--threads",
                        "1",       "--momentum",    "0.8", "--json"};
  RunResult r = run_sigma(flags + to(run));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const Json s = last_line_json(r.out);
  const double suggestion = s.at("suggestion");
  CHECK(suggestion > 1e-3);
  CHECK(suggestion < 2);
  const std::string command = s.at("command");
  CHECK(contains(r.out, command));
  CHECK(command.rfind("sigma train ", 0) == 0);
  CHECK(contains(command, fmt::format(" --lr {:.2g} ", suggestion)));
  CHECK(contains(command + " ", " --momentum 0.8 "));
  const auto table = read_csv(run / "lr_find.csv");
  CHECK(table.size() == s.at("steps").get<size_t>() + 1);
  CHECK(table[1][1] == "1e-06");
  CHECK(read_image((run / "lr_find.png").string()).width > 600);
  CHECK(contains(read_text(run / "lr_find.svg"), fmt::format("suggestion: {:.2g}", suggestion)));
  // The same flags sweep to the same bits, whatever the schedule of the run would be.
  r = run_sigma(flags + Arguments{"--schedule", "constant"} + to(folder / "again"));
  CHECK(read_text(folder / "again" / "lr_find.csv") == read_text(run / "lr_find.csv"));
  Arguments trained{"--dry-run", "--quiet"};
  for (size_t at = 6; at < command.size();) {
    const size_t end = std::min(command.find(' ', at), command.size());
    trained.insert(trained.end() - 2, command.substr(at, end - at));
    at = end + 1;
  }
  CHECK(run_sigma(trained).exit_code == 0);
  CHECK(contains(run_sigma(flags + Arguments{"--lowest", "3", "--highest", "2"}).err,
                 "--lowest: expected less"));
  r = run_sigma(flags + Arguments{"--highest", "1e-5", "--trials", "3"} + to(folder / "low"));
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "the loss falls at no rate that was tried"));
}
