// Whose files a run may remove, and where it may be resumed from.
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const Arguments kQuick{"train", "--limit-train", "64", "--limit-test", "10", "--model",
                       "mlp",   "--max-steps",   "1",  "--threads",    "1",  "--quiet"};

RunResult train_into(const fs::path& run, const Arguments& more = {}) {
  return run_sigma(kQuick + Arguments{"--out", run.string()} + more);
}
void put_file(const fs::path& path) {
  fs::create_directories(path.parent_path());
  write_file_atomic(path.string(), "mine");
}

}  // namespace

// A config.json of another program made a folder a run, whose weights/ and reports were then removed.
TEST_CASE("replacing by --overwrite removes nothing from a folder that is no run of sigma",
          "[cli][regression]") {
  TemporaryFolder folder;
  const fs::path foreign = folder / "foreign";
  const char* const files[] = {"config.json",           "env.json",
                               "weights/important.bin", "weights/last.safetensors",
                               "report.html",           "results.csv"};
  for (const char* name : files) put_file(foreign / name);
  for (const char* config : {"mine", "{}", "{\"epochs\": 3}"}) {
    write_file_atomic((foreign / "config.json").string(), config);
    RunResult r = train_into(foreign, {"--overwrite"});
    INFO(r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "is not empty and holds no run"));
    CHECK(read_text(foreign / "config.json") == config);
    for (const char* name : files)
      if (std::string(name) != "config.json") CHECK(read_text(foreign / name) == "mine");
    CHECK(!fs::exists(foreign / "sigma-run"));
  }
}

TEST_CASE("replacing by --overwrite removes the files of a run and no others", "[cli][regression]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  REQUIRE(train_into(run).exit_code == 0);
  const char* const others[] = {"notes.txt",
                                "weights/exported.onnx",
                                "weights/best-of-all.safetensors",
                                "weights/backup/last.safetensors",
                                ".keep.tmp.1",
                                "weights/.cache.tmp.2"};
  for (const char* name : others) put_file(run / name);
  const char* const ours[] = {"values.png", "weights/diverged-7.safetensors",
                              "weights/arm-0-seed-3.safetensors", ".summary.json.tmp.99"};
  for (const char* name : ours) put_file(run / name);
  fs::create_directories(run / "curves.svg.d");
  REQUIRE(train_into(run, {"--overwrite"}).exit_code == 0);
  for (const char* name : others) CHECK(read_text(run / name) == "mine");
  for (const char* name : ours) CHECK(!fs::exists(run / name));
  CHECK(fs::is_directory(run / "curves.svg.d"));
  CHECK(fs::exists(run / "summary.json"));
}

TEST_CASE("a link in a run's folder goes, what it leads to stays", "[cli][regression]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  REQUIRE(train_into(run).exit_code == 0);
  put_file(folder / "elsewhere/last.safetensors");
  fs::remove_all(run / "weights");
  fs::create_directory_symlink(folder / "elsewhere", run / "values.png");
  REQUIRE(train_into(run, {"--overwrite"}).exit_code == 0);
  CHECK(read_text(folder / "elsewhere/last.safetensors") == "mine");
}

TEST_CASE("a run from before there was a marker is known by its files", "[cli]") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  REQUIRE(train_into(run).exit_code == 0);
  REQUIRE(fs::remove(run / "sigma-run"));
  RunResult r = train_into(run);
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "holds a run already"));
  CHECK(train_into(run, {"--overwrite"}).exit_code == 0);
  CHECK(fs::exists(run / "sigma-run"));
  // Half of that is not enough.
  REQUIRE(fs::remove(run / "sigma-run"));
  REQUIRE(fs::remove(run / "env.json"));
  CHECK(contains(train_into(run, {"--overwrite"}).err, "is not empty and holds no run"));
}

// A run with a relative --data-dir or folder:PATH could be resumed from where it began only.
TEST_CASE("a run is resumed from anywhere", "[cli][regression]") {
  TemporaryFolder folder;
  Dataset digits = make_synth_digits(24, 6);
  for (auto [part, split] :
       {std::pair<const char*, const Split*>{"train", &digits.train}, {"test", &digits.test}})
    for (int64_t i = 0; i < split->size(); ++i) {
      fs::path where = folder / "there/set" / part / (i % 2 ? "odd" : "even");
      fs::create_directories(where);
      const uint8_t* p = split->images.data<uint8_t>() + i * 784;
      write_file_atomic((where / (std::to_string(i) + ".png")).string(),
                        png_bytes({28, 28, 1, Bytes(p, p + 784)}));
    }
  fs::create_directories(folder / "here");
  const fs::path there = folder / "there", run = there / "run";
  RunResult r = run_sigma_in(
      there, {"train", "--data", "folder:set", "--data-dir", "../there", "--model", "mlp", "--batch-size",
              "8", "--max-steps", "2", "--save-every", "1", "--out", "run", "--quiet"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json config = read_json(run / "config.json");
  CHECK(config["data"] == "folder:" + (there / "set").string());
  CHECK(config["data-dir"] == there.string());
  CHECK(config["save-every"] == 1);
  const std::string hash = read_json(run / "summary.json")["weights_sha256"];
  fs::remove(run / "summary.json");
  r = run_sigma_in(folder / "here", {"train", "--resume", "--out", "../there/run", "--quiet"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(run / "summary.json")["weights_sha256"] == hash);
  CHECK(read_json(run / "config.json") == config);
  r = run_sigma_in(folder / "here",
                   {"eval", "--checkpoint", (run / "weights/last.safetensors").string(), "--quiet"});
  INFO(r.err);
  CHECK(r.exit_code == 0);

  // Fine-tuning from a relative checkpoint.
  r = run_sigma_in(there, {"train", "--checkpoint", "run/weights/last.safetensors", "--max-steps", "1",
                           "--out", "tuned", "--quiet"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(there / "tuned/config.json")["checkpoint"] == (run / "weights/last.safetensors").string());
  r = run_sigma_in(folder / "here", {"train", "--resume", "--out", "../there/tuned", "--quiet"});
  INFO(r.err);
  CHECK(r.exit_code == 0);
}
