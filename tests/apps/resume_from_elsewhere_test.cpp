// A run's own files are enough to go on with it: from any folder, and with what it was told when it began.
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"
#include "tests/support/sample_files.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// Two epochs of four steps.
const Arguments kTiny{"train", "--model",   "sigmoid-mlp", "--batch-size", "16", "--epochs",
                      "2",     "--threads", "1",           "--quiet"};

// Takes the run back to the checkpoint before the last.
void go_back(const fs::path& run) {
  fs::remove(run / "summary.json");
  fs::rename(run / "weights/last-previous.safetensors", run / "weights/last.safetensors");
}

}  // namespace

TEST_CASE("a run resumed from another folder finds its data", "[resume][regression]") {
  TemporaryFolder folder;
  const fs::path here = folder / "here", elsewhere = folder / "elsewhere";
  fs::create_directories(elsewhere);
  put_mnist(here / "data/mnist", 64, 20);
  put_image_folder(here / "pictures", 28, 28);
  const std::pair<std::string, Arguments> cases[] = {
      {"mnist", {"--data", "mnist", "--data-dir", "data"}},
      {"folder", {"--data", "folder:pictures", "--batch-size", "2"}}};
  for (auto& [name, flags] : cases) {
    INFO(name);
    RunResult r = run_sigma_in(here, kTiny + flags + Arguments{"--out", name, "--save-every", "1"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    Json config = read_json(here / name / "config.json");
    if (name == "mnist") CHECK(config["data-dir"] == (here / "data").string());
    if (name == "folder") CHECK(config["data"] == "folder:" + (here / "pictures").string());
    RawCheckpoint c = read_raw((here / name / "weights/last.safetensors").string());
    CHECK(c.meta["config"] == config);
    if (name == "folder") CHECK(c.meta["data"] == config["data"]);
    const std::string hash = read_json(here / name / "summary.json")["weights_sha256"];
    go_back(here / name);
    r = run_sigma_in(elsewhere, {"train", "--resume", "--quiet", "--out", "../here/" + name});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(read_json(here / name / "summary.json")["weights_sha256"] == hash);
    if (name == "mnist") continue;
    r = run_sigma_in(elsewhere, {"eval", "--checkpoint", "../here/folder/weights/last.safetensors"});
    INFO(r.err);
    CHECK(r.exit_code == 0);
  }
}

TEST_CASE("a resumed run saves as often as it was told when it began", "[resume][regression]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  const Arguments data{"--data", "synth-digits", "--limit-train", "64", "--limit-test", "20"};
  RunResult r = run_sigma(kTiny + data + Arguments{"--save-every", "3", "--out", run.string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(run / "config.json")["save-every"] == 3);
  auto previous = [&] {
    return read_raw((run / "weights/last-previous.safetensors").string()).meta["progress"]["step"].get<int>();
  };
  CHECK(previous() == 6);
  // A run that was stopped before its first checkpoint begins again; by epochs it would save at step 4.
  for (auto& entry : fs::directory_iterator(run / "weights")) fs::remove(entry.path());
  fs::remove(run / "summary.json");
  r = run_sigma({"train", "--resume", "--quiet", "--out", run.string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(previous() == 6);
  CHECK(read_json(run / "config.json")["save-every"] == 3);
  // How often is no part of what the run is.
  r = run_sigma({"train", "--resume", "--quiet", "--save-every", "2", "--out", run.string()});
  INFO(r.err);
  CHECK(r.exit_code == 0);
  CHECK(read_json(run / "config.json")["save-every"] == 2);
}

TEST_CASE("a run of the version before goes on", "[resume]") {
  // Its metadata name no optimizer, its config has no --optimizer and paths as they were given.
  TemporaryFolder folder;
  put_image_folder(folder / "pictures", 28, 28);
  const Arguments flags{"--data", "folder:pictures", "--batch-size", "2", "--out", "run", "--save-every",
                        "1"};
  RunResult r = run_sigma_in(folder.path(), kTiny + flags);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const fs::path run = folder / "run";
  const std::string hash = read_json(run / "summary.json")["weights_sha256"];
  go_back(run);
  auto age = [](Json& config) {
    config.erase("optimizer");
    config.erase("save-every");
    config["data"] = "folder:pictures";
  };
  const std::string last = (run / "weights/last.safetensors").string();
  RawCheckpoint c = read_raw(last);
  c.meta.erase("optimizer");
  c.meta["data"] = "folder:pictures";
  age(c.meta["config"]);
  write_raw(last, c);
  Json config = read_json(run / "config.json");
  age(config);
  write_file_atomic((run / "config.json").string(), config.dump());
  r = run_sigma_in(folder.path(), {"train", "--resume", "--quiet", "--out", "run"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(run / "summary.json")["weights_sha256"] == hash);
}

TEST_CASE("progress and momentum that cannot be are refused by --resume", "[resume][bad_input][regression]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  const Arguments data{"--data", "synth-digits", "--limit-train", "64", "--limit-test", "20"};
  REQUIRE(run_sigma(kTiny + data + Arguments{"--out", run.string()}).exit_code == 0);
  const std::string last = (run / "weights/last.safetensors").string();
  const RawCheckpoint good = read_raw(last);
  fs::remove(run / "weights/last-previous.safetensors");
  auto refused = [&](const std::string& message, const std::function<void(RawCheckpoint&)>& change) {
    RawCheckpoint c = good;
    change(c);
    fs::remove(last);
    write_raw(last, c);
    RunResult r = run_sigma({"train", "--resume", "--quiet", "--out", run.string()});
    INFO(r.err);
    CHECK(r.exit_code == 6);
    CHECK(contains(r.err, "error: " + last + ": "));
    CHECK(contains(r.err, message));
    CHECK(count_of(r.err, "\n") == 1);
  };
  auto with = [](const char* key, const Json& value) {
    return [=](RawCheckpoint& c) { c.meta["progress"][key] = value; };
  };
  refused("step", with("step", -5));    // crashed
  refused("step", with("step", 1e15));  // ended with a false summary
  refused("step", with("step", 1.7));   // was taken
  refused("step", with("step", "8"));
  refused("evaluated_step", with("evaluated_step", 9));
  refused("epoch_count", with("epoch_count", -1));
  refused("epoch_count", with("epoch_count", 1000));
  refused("epoch_correct", with("epoch_correct", 1));
  refused("best", with("best", 2));
  refused("seconds", with("seconds", -1));
  refused("seconds", with("seconds", Json()));
  refused("train_loss", with("train_loss", "low"));
  refused("progress", [](RawCheckpoint& c) { c.meta["progress"] = 3; });
  refused("config is missing", [](RawCheckpoint& c) { c.meta.erase("config"); });
  refused("config", [](RawCheckpoint& c) { c.meta["config"] = 3; });
  refused("velocity.fc1.weight is missing",
          [](RawCheckpoint& c) { c.content.tensors.erase("optim.velocity.fc1.weight"); });
  refused("velocity.fc1.weight",
          [](RawCheckpoint& c) { c.content.tensors["optim.velocity.fc1.weight"] = Tensor::zeros({3}); });
  refused("velocity.fc1.bias",
          [](RawCheckpoint& c) { c.content.tensors["optim.velocity.fc1.bias"].fill_(NAN); });
}
