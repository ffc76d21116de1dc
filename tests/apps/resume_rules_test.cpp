// What a run may be resumed with, and every combination of settings that has state of its own.
#include <signal.h>

#include "apps/training/checkpoint_schema.h"
#include "core/parallel.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// One epoch of four steps.
const Arguments kTiny{
    "train",       "--data",       "synth-digits", "--limit-train", "64", "--limit-test", "20", "--model",
    "sigmoid-mlp", "--batch-size", "16",           "--epochs",      "1",  "--save-every", "1",  "--threads",
    "1",           "--quiet"};

Arguments to(const fs::path& out) { return {"--out", out.string()}; }

// The arms of a comparison without what the clock says.
Json arms_of(const fs::path& run) {
  Json arms = read_json(run / "summary.json").at("arms");
  for (Json& arm : arms) {
    arm.erase("seconds_to");
    arm.erase("ms_per_step");
  }
  return arms;
}

}  // namespace

TEST_CASE("training resumes exactly at any step, with any threads, batch norm, augmentation and momentum",
          "[resume]") {
  Dataset data = make_synth_digits(56, 10);  // four batches of 14: the last of an epoch is as long
  struct Restore {
    int before;
    ~Restore() { set_num_threads(before); }
  } restore{num_threads()};
  constexpr int64_t kSteps = 8;
  for (bool batch_norm : {true, false})
    for (const char* augment : {"none", "flip+crop"})
      for (bool nesterov : {false, true})
        for (double momentum : {0.0, 0.9}) {
          if (nesterov && momentum == 0) continue;
          TrainSetup setup;
          setup.model = "lenet5";
          setup.input = {1, 28, 28, 10};
          setup.batch_norm = batch_norm;
          setup.loader.batch_size = 14;
          setup.loader.augmentation = parse_augmentation(augment);
          setup.optimizer = {"sgd", 0.05, 5e-4, {{"momentum", momentum}, {"nesterov", nesterov ? 1.0 : 0.0}}};
          setup.schedule = {parse_schedule("one-cycle"), kSteps, 2};
          setup.label_smoothing = 0.1;
          setup.clip_norm = 1;
          setup.seed = 3;
          set_num_threads(1);
          // Everything of a checkpoint goes through the bytes of a file.
          auto bytes_of = [](const Trainer& t) {
            return serialize_safetensors(content_of(checkpoint_of(t)));
          };
          Trainer whole(data, setup);
          std::vector<std::string> states{bytes_of(whole)};
          for (int64_t i = 0; i < kSteps; ++i) {
            whole.step();
            states.push_back(bytes_of(whole));
          }
          CHECK(states.front() != states.back());
          for (int64_t at : {0, 1, 4, 7, 8})  // start, mid-epoch, epoch end, last step, all done
            for (int threads : {1, 2, 3}) {
              INFO("batch norm " << batch_norm << " augment " << augment << " momentum " << momentum
                                 << " nesterov " << nesterov << " step " << at << " threads " << threads);
              set_num_threads(threads);
              setup.loader.threads = threads - 1;
              Trainer again(data, setup);
              const std::string& saved = states[static_cast<size_t>(at)];
              Checkpoint c =
                  checkpoint_from(parse_safetensors(Bytes(saved.begin(), saved.end()), "memory"), "memory");
              again.restore(c.weights, c.run->state, at);
              while (again.steps_done() < kSteps) again.step();
              CHECK(bytes_of(again) == states.back());
            }
        }
}

TEST_CASE("the program resumes exactly in the middle and at the end of an epoch, with other threads",
          "[resume]") {
  // last-previous.safetensors of a finished run is the state at a known step; without last.safetensors,
  // resuming starts there.
  struct Case {
    const char *save_every, *previous, *batch_norm, *augment, *schedule, *threads;
    bool nesterov;
  };
  const Case cases[] = {{"3", "9", "on", "flip+crop", "one-cycle", "2", true},
                        {"6", "6", "off", "none", "cosine", "3", false},
                        {"4", "8", "on", "crop", "step", "3", false},
                        {"5", "10", "off", "flip", "constant", "2", true}};
  TemporaryFolder folder;
  for (const Case& c : cases) {
    INFO("save every " << c.save_every << " batch norm " << c.batch_norm);
    fs::path run = folder / c.save_every, last = run / "weights/last.safetensors";
    Arguments flags{"train",
                    "--data",
                    "synth-digits",
                    "--limit-train",
                    "90",
                    "--limit-test",
                    "20",
                    "--model",
                    "lenet5",
                    "--batch-size",
                    "16",
                    "--epochs",
                    "2",  // 6 steps each
                    "--quiet",
                    "--eval-every",
                    "4",
                    "--eval-images",
                    "10",
                    "--clip-norm",
                    "2",
                    "--warmup",
                    std::string(c.schedule) == "one-cycle" ? "0" : "2",  // it has a warm-up of its own
                    "--label-smoothing",
                    "0.1",
                    "--normalize",
                    "unit"};
    flags = flags + Arguments{"--save-every", c.save_every, "--batch-norm", c.batch_norm, "--augment",
                              c.augment,      "--schedule", c.schedule,     "--threads",  "1"};
    if (c.nesterov) flags.push_back("--nesterov");
    REQUIRE(run_sigma(flags + to(run)).exit_code == 0);
    std::string hash = read_json(run / "summary.json")["weights_sha256"],
                steps = read_text(run / "steps.csv");
    fs::remove(run / "summary.json");
    fs::remove(last);
    auto previous = read_raw((run / "weights/last-previous.safetensors").string());
    CHECK(previous.meta["progress"]["step"].dump() == c.previous);
    RunResult r = run_sigma(Arguments{"train", "--resume", "--threads", c.threads} + to(run));
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(contains(r.err, "warning: " + last.string()));
    CHECK(contains(r.err, std::string("12 steps, ") + c.threads + " threads"));
    CHECK(read_json(run / "summary.json")["weights_sha256"] == hash);
    CHECK(read_text(run / "steps.csv") == steps);
  }
}

TEST_CASE("resuming with other flags that matter is refused, and says which", "[resume]") {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  REQUIRE(run_sigma(kTiny + to(run)).exit_code == 0);
  std::string before = read_text(run / "weights/last.safetensors");
  const std::pair<Arguments, Arguments> cases[] = {
      {{"--lr", "0.1", "--batch-size", "32", "--nesterov"},
       {"--lr was \"0.05\", now \"0.1\"", "--batch-size was 16, now 32", "--nesterov was false, now true"}},
      {{"--batch-norm", "off"}, {"--batch-norm was \"on\", now \"off\""}},
      {{"--model", "mlp"}, {"--model was \"sigmoid-mlp\", now \"mlp\""}},
      {{"--seed", "1"}, {"--seed was 0, now 1"}},
      {{"--limit-train", "32"}, {"--limit-train was 64, now 32", "the data set changed"}},
      {{"--augment", "flip", "--normalize", "unit", "--mean", "0.5"},
       {"--augment was \"none\", now \"flip\"", "--normalize was \"standard\", now \"unit\"",
        "--mean was [], now [0.5]"}},
      {{"--schedule", "step", "--momentum", "0.5", "--weight-decay", "0"},
       {"--schedule was", "--momentum was 0.9, now 0.5", "--weight-decay was"}}};
  for (auto& [flags, messages] : cases) {
    RunResult r = run_sigma(Arguments{"train", "--resume", "--quiet"} + to(run) + flags);
    INFO(flags[0] << ": " << r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "error: --resume: this is not the run that was stopped: "));
    size_t keys = 0;  // no more than those
    for (const std::string& message : messages) {
      CHECK(contains(r.err, message));
      keys += message[0] == '-';
    }
    CHECK(count_of(r.err, ", now ") == keys);
  }
  CHECK(read_text(run / "weights/last.safetensors") == before);
  RunResult r = run_sigma(Arguments{"train", "--resume", "--overwrite"} + to(run));
  CHECK(r.exit_code == 2);
  r = run_sigma(Arguments{"train", "--resume"} + to(folder / "elsewhere"));
  CHECK(r.exit_code == 4);
  CHECK(contains(r.err, "there is no run to resume"));
  CHECK(!fs::exists(folder / "elsewhere"));
  // What does not change the result may differ, a finished run included.
  r = run_sigma(Arguments{"train", "--resume", "--threads", "2", "--save-every", "3"} + to(run));
  INFO(r.err);
  CHECK(r.exit_code == 0);
}

TEST_CASE("resuming on changed images or labels is refused", "[resume]") {
  TemporaryFolder folder;
  fs::path data = folder / "data", run = folder / "run";
  Dataset digits = make_synth_digits(24, 8);
  auto write = [&](const Split& split, const char* part) {
    for (int64_t i = 0; i < split.size(); ++i) {
      fs::path name = data / part / (i % 2 ? "odd" : "even") / (std::to_string(i) + ".png");
      fs::create_directories(name.parent_path());
      const uint8_t* p = split.images.data<uint8_t>() + i * 784;
      write_file_atomic(name.string(), png_bytes({28, 28, 1, Bytes(p, p + 784)}));
    }
  };
  write(digits.train, "train");
  write(digits.test, "test");
  Arguments flags{"train",   "--data",      "folder:" + data.string(),
                  "--model", "sigmoid-mlp", "--batch-size",
                  "8",       "--epochs",    "1",
                  "--quiet", "--threads",   "1"};
  RunResult r = run_sigma(flags + to(run));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const Arguments resume = Arguments{"train", "--resume", "--quiet"} + to(run);
  CHECK(run_sigma(resume).exit_code == 0);
  std::string image = read_text(data / "train/odd/3.png");
  auto refused = [&] {
    RunResult again = run_sigma(resume);
    INFO(again.err);
    CHECK(again.exit_code == 2);
    CHECK(contains(again.err, "the images or labels of the data set changed"));
  };
  fs::copy_file(data / "train/odd/5.png", data / "train/odd/3.png", fs::copy_options::overwrite_existing);
  refused();
  write_file_atomic((data / "train/odd/3.png").string(), image);
  CHECK(run_sigma(resume).exit_code == 0);
  fs::rename(data / "test/even/4.png", data / "test/odd/4.png");  // a label
  refused();
}

TEST_CASE("a comparison that was stopped or killed resumes to the same table", "[resume][compare]") {
  const Arguments grid{"compare",
                       "--data",
                       "synth-digits",
                       "--limit-train",
                       "128",
                       "--limit-test",
                       "60",
                       "--model",
                       "sigmoid-mlp",
                       "--batch-size",
                       "16",
                       "--epochs",
                       "3",
                       "--seeds",
                       "2",
                       "--normalize",
                       "unit,standard",
                       "--threads",
                       "1",
                       "--quiet"};
  TemporaryFolder folder;
  fs::path whole = folder / "whole";
  REQUIRE(run_sigma(grid + to(whole)).exit_code == 0);
  Json expected = arms_of(whole);
  CHECK(expected.size() == 4);
  for (int signal : {SIGTERM, SIGKILL}) {
    INFO("signal " << signal);
    fs::path run = folder / std::to_string(signal);
    Process process(grid + to(run), run);
    REQUIRE(process.wait_until(
        [&] { return fs::exists(run / "arms.json") && !read_json(run / "arms.json")["runs"].empty(); }));
    process.signal(signal);
    CHECK(process.wait() == 128 + signal);
    CHECK(!fs::exists(run / "summary.json"));
    size_t finished = read_json(run / "arms.json")["runs"].size();
    CHECK(finished >= 1);
    CHECK(finished < 8);
    RunResult other =
        run_sigma(Arguments{"compare", "--resume", "--lr", "0.5", "--momentum", "0.5"} + to(run));
    INFO(other.err);
    CHECK(other.exit_code == 2);
    CHECK(contains(other.err, "--lr was \"0.1\", now \"0.5\""));
    CHECK(contains(other.err, "--momentum was 0.0, now 0.5"));
    CHECK(!contains(other.err, "--normalize"));
    RunResult r = run_sigma(Arguments{"compare", "--resume", "--quiet", "--threads", "2"} + to(run));
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(arms_of(run) == expected);
    CHECK(fs::exists(run / "report.html"));
  }
  std::string saved = read_text(whole / "arms.json");
  write_file_atomic((whole / "arms.json").string(), saved.substr(0, saved.size() / 2));
  RunResult r = run_sigma(Arguments{"compare", "--resume", "--quiet"} + to(whole));
  CHECK(r.exit_code == 6);
  CHECK(contains(r.err, "arms.json"));
}

TEST_CASE("a run folder in use by another process is refused and left alone", "[resume]") {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  Arguments endless = kTiny + to(run) + Arguments{"--epochs", "100000"};
  Process process(endless, run);
  REQUIRE(process.wait_until([&] { return fs::exists(run / "weights/best.safetensors"); }));
  for (const char* how : {"--resume", "--overwrite"}) {
    RunResult r = run_sigma(endless + Arguments{how});
    INFO(how << ": " << r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "another process is running in this folder"));
  }
  RunResult r = run_sigma(endless);
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "holds a run already"));
  CHECK(!process.ended());
  process.signal(SIGTERM);
  CHECK(process.wait() == 128 + SIGTERM);
  CHECK(read_text(run.string() + ".err").empty());
  CHECK(fs::exists(run / "config.json"));
  CHECK_NOTHROW(load_checkpoint((run / "weights/last.safetensors").string()));
}
