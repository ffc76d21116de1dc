// sigma compress and train --checkpoint: what they report is what they write.
#include <csignal>

#include "apps/training/checkpoint.h"
#include "apps/training/compression.h"
#include "core/math.h"
#include "layers/passes/factor.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// A small network, trained once for all tests of this file that want it.
struct Trained {
  TemporaryFolder folder;
  std::string checkpoint;
  double accuracy;
  explicit Trained(const Arguments& more) {
    fs::path run = folder / "run";
    RunResult r =
        run_sigma(Arguments{"train", "--data", "synth-digits", "--limit-train", "1500", "--limit-test", "300",
                            "--batch-size", "50", "--epochs", "2", "--quiet", "--out", run.string()} +
                  more);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    checkpoint = (run / "weights/last.safetensors").string();
    accuracy = read_json(run / "summary.json")["test_accuracy"];
  }
  RunResult compress(const Arguments& flags) {
    return run_sigma(Arguments{"compress", "--checkpoint", checkpoint, "--limit-train", "500", "--limit-test",
                               "300", "--json"} +
                     flags);
  }
  std::string out(const std::string& name = "small.safetensors") { return (folder / name).string(); }
};

int64_t parameters_in(const std::string& checkpoint, const std::string& layer) {
  int64_t n = 0;
  for (auto& [name, t] : read_raw(checkpoint).content.tensors)
    if (name.rfind(layer + ".", 0) == 0) n += t.numel();
  return n;
}

}  // namespace

TEST_CASE("compress reports what it writes, and eval agrees", "[cli]") {
  struct Case {
    Arguments train, compress;
  };
  const Case cases[] = {
      {{"--model", "mlp"}, {"--ratio", "0.5"}},
      {{"--model", "lenet5"}, {"--energy", "0.8"}},
      {{"--model", "lenet5", "--batch-norm", "off"}, {"--rank", "4", "--scheme", "channel"}},
      {{"--model", "cnn", "--normalize", "zca", "--whiten-epsilon", "0.01"},
       {"--macs-ratio", "0.4", "--scheme", "spatial"}},
  };
  for (const Case& c : cases) {
    Trained t(c.train);
    INFO(c.train[1] << " " << c.compress[0]);
    RunResult r = t.compress(c.compress + Arguments{"--out", t.out()});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    Json j = last_line_json(r.out);
    CHECK(j["accuracy_before"] == t.accuracy);
    CHECK(contains(r.out, "accuracy "));
    int64_t before = 0, after = 0, macs = 0;
    for (const Json& l : j["layers"]) {
      before += l["parameters_before"].get<int64_t>();
      after += l["parameters_after"].get<int64_t>();
      macs += l["macs_after"].get<int64_t>();
      CHECK(parameters_in(t.checkpoint, l["layer"]) == l["parameters_before"].get<int64_t>());
      CHECK(parameters_in(t.out(), l["layer"]) == l["parameters_after"].get<int64_t>());
      CHECK(l["parameters_after"].get<int64_t>() <= l["parameters_before"].get<int64_t>());
      double energy = l["energy"];
      CHECK((energy > 0 && energy <= 1));
      if (c.compress[0] == "--energy") CHECK(energy >= .8);
      if (c.compress[0] == "--rank" && !l["rank"].is_null()) CHECK(l["rank"] == 4);
      if (c.compress.size() > 2 && !l["scheme"].is_null())
        CHECK(l["scheme"] == (l["shape"].size() == 4 ? c.compress[3] : "linear"));
    }
    CHECK(j["parameters_before"] == before);
    CHECK(j["parameters_after"] == after);
    CHECK(j["macs_after"] == macs);
    CHECK(after < before);
    if (c.compress[0] == "--ratio") CHECK(2 * after <= before);
    if (c.compress[0] == "--macs-ratio")
      CHECK(j["macs_after"].get<double>() <= .4 * j["macs_before"].get<double>());
    CHECK(j["images_per_s_before"].get<double>() > 0);
    CHECK(j["images_per_s_after"].get<double>() > 0);

    r = run_sigma({"eval", "--checkpoint", t.out(), "--limit-test", "300", "--json"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(last_line_json(r.out)["test_accuracy"] == j["accuracy_after"]);
    CHECK(last_line_json(r.out)["test_loss"] == j["loss_after"]);
    // Compressed again, the factors themselves are layers to factor.
    r = run_sigma({"compress", "--checkpoint", t.out(), "--ratio", "0.7", "--limit-test", "50",
                   "--limit-train", "100", "--out", t.out("smaller.safetensors"), "--json"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    Json again = last_line_json(r.out);
    CHECK(again["parameters_after"].get<double>() <= .7 * again["parameters_before"].get<double>());
    CHECK(run_sigma({"eval", "--checkpoint", t.out("smaller.safetensors"), "--limit-test", "10"}).exit_code ==
          0);
  }
}

TEST_CASE("a compressed network is fine-tuned, resumed to the same bits and compressed without batch norm",
          "[cli]") {
  Trained t({"--model", "lenet5"});
  REQUIRE(t.compress({"--ratio", "0.3", "--out", t.out(), "--quiet"}).exit_code == 0);
  auto tuning = [&](const std::string& run) {
    return Arguments{"train", "--checkpoint", t.out(), "--limit-train", "500", "--limit-test",
                     "100",   "--batch-size", "50",    "--max-steps",   "120", "--lr",
                     "0.01",  "--quiet",      "--out", t.out(run)};
  };
  RunResult r = run_sigma(tuning("whole"));
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json summary = read_json(t.out("whole/summary.json"));
  RawCheckpoint tuned = read_raw(t.out("whole/weights/last.safetensors"));
  CHECK(tuned.meta["model"] == "lenet5");
  CHECK(tuned.meta["factors"] == read_raw(t.out()).meta["factors"]);
  CHECK(summary["parameters"].get<int64_t>() < 62158);
  CHECK(read_json(t.out("whole/config.json"))["normalize"] == "standard");
  // The network that training starts from is the checkpoint's: at rate 0 nothing but statistics moves.
  r = run_sigma(tuning("still") + Arguments{"--lr", "0", "--weight-decay", "0", "--max-steps", "12"});
  REQUIRE(r.exit_code == 0);
  SafeTensors a = read_raw(t.out()).content, b = read_raw(t.out("still/weights/last.safetensors")).content;
  for (auto& [name, value] : a.tensors)
    if (name.find("running") == std::string::npos && name.find("num_batches") == std::string::npos)
      CHECK(identical(b.tensors.at(name), value));

  // Stopped early on the way, with the checkpoint it began from gone.
  Process process(tuning("parts") + Arguments{"--save-every", "1"}, t.folder / "process");
  REQUIRE(process.wait_until([&] { return fs::exists(t.out("parts/weights/last-previous.safetensors")); }));
  process.signal(SIGTERM);
  REQUIRE(process.wait() == 128 + SIGTERM);
  CHECK_FALSE(fs::exists(t.out("parts/summary.json")));
  fs::rename(t.out(), t.out("moved.safetensors"));
  r = run_sigma({"train", "--resume", "--quiet", "--save-every", "0", "--out", t.out("parts")});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(read_json(t.out("parts/summary.json"))["weights_sha256"] == summary["weights_sha256"]);
}

TEST_CASE("compress leaves the running statistics alone when asked to", "[cli]") {
  Trained t({"--model", "lenet5"});
  const std::string kept = t.out("kept.safetensors");
  REQUIRE(t.compress({"--ratio", "0.5", "--bn-images", "0", "--out", kept}).exit_code == 0);
  REQUIRE(t.compress({"--ratio", "0.5", "--out", t.out()}).exit_code == 0);
  SafeTensors before = read_raw(t.checkpoint).content, same = read_raw(kept).content,
              anew = read_raw(t.out()).content;
  int statistics = 0;
  for (auto& [name, value] : before.tensors) {
    if (!contains(name, "running_") && !contains(name, "num_batches")) continue;
    INFO(name);
    ++statistics;
    CHECK(identical(same.tensors.at(name), value));
    if (contains(name, "running_")) CHECK_FALSE(identical(anew.tensors.at(name), value));
  }
  CHECK(statistics == 3 * 4);
  for (auto& [name, value] : same.tensors)  // and nothing else depends on it
    if (!contains(name, "running_") && !contains(name, "num_batches"))
      CHECK(identical(anew.tensors.at(name), value));
}

TEST_CASE("a residual network is compressed to a share of its multiply-accumulates", "[cli]") {
  Trained t({"--data", "synth-objects", "--model", "resnet20", "--limit-train", "100", "--limit-test", "50",
             "--batch-size", "20", "--max-steps", "4"});
  RunResult r = t.compress({"--macs-ratio", "0.6", "--limit-train", "100", "--limit-test", "50",
                            "--bn-images", "100", "--out", t.out()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json j = last_line_json(r.out);
  CHECK(j["accuracy_before"] == t.accuracy);
  const auto before = j["macs_before"].get<double>(), after = j["macs_after"].get<double>();
  CHECK(after <= .6 * before);
  CHECK(after > .5 * before);  // and no more is taken than was asked for
  CHECK(j["macs_before"] ==
        last_line_json(
            run_sigma({"summary", "--model", "resnet20", "--data", "synth-objects", "--json"}).out)["macs"]);
  // Counted anew, layer by layer, on the network that the checkpoint gives.
  SavedModel m = model_from(load_checkpoint(t.out()), t.out());
  CHECK(m.factors.size() > 5);
  int64_t macs = 0;
  for (const Candidate& c : candidates_of(*m.model, m.input, std::nullopt)) macs += c.macs;
  CHECK(j["macs_after"] == macs);
  r = run_sigma({"eval", "--checkpoint", t.out(), "--limit-test", "50", "--json"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out)["test_accuracy"] == j["accuracy_after"]);
  CHECK(last_line_json(r.out)["test_loss"] == j["loss_after"]);
}

TEST_CASE("a sweep goes through the ratios and draws them", "[cli]") {
  Trained t({"--model", "lenet5"});
  RunResult r = t.compress({"--sweep", "--out", t.out("sweep")});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json j = last_line_json(r.out);
  auto rows = read_csv(t.out("sweep/sweep.csv"));
  REQUIRE(rows.size() == j["points"].size() + 1);
  REQUIRE(rows.size() >= 10);
  CHECK(rows[0] == std::vector<std::string>{"ratio", "parameters", "macs", "test_accuracy",
                                            "test_accuracy_old_statistics"});
  for (const Json& p : j["points"])
    CHECK(p["parameters"].get<double>() <= p["ratio"].get<double>() * j["parameters_before"].get<double>());
  CHECK(fs::file_size(t.out("sweep/sweep.png")) > 1000);
  CHECK(contains(read_text(t.out("sweep/sweep.svg")), "parameters kept (%)"));
  CHECK(t.compress({"--sweep", "--out", t.out("sweep")}).exit_code == 2);  // never replaced unless asked
}

TEST_CASE("compress and fine-tuning refuse what they cannot do", "[cli]") {
  Trained t({"--model", "mlp"});
  auto refused = [&](const Arguments& flags, int code, const std::string& why) {
    RunResult r = t.compress(flags);
    INFO(r.err);
    CHECK(r.exit_code == code);
    CHECK(contains(r.err, why));
    CHECK_FALSE(fs::exists(t.out()));
  };
  const Arguments out{"--out", t.out()};
  refused(out, 2, "expected one of --energy, --rank, --ratio, --macs-ratio or --sweep");
  refused(out + Arguments{"--rank", "3", "--energy", "0.5"}, 2, "expected one of");
  refused({"--rank", "3"}, 2, "--out");
  refused(out + Arguments{"--rank", "0"}, 2, "--rank: expected at least 1, got 0");
  refused(out + Arguments{"--rank", "513"}, 2, "--rank: expected at most 512");
  refused(out + Arguments{"--energy", "1.5"}, 2, "--energy: expected more than 0 and at most 1, got 1.5");
  refused(out + Arguments{"--energy", "nan"}, 2, "--energy");
  refused(out + Arguments{"--ratio", "0"}, 2, "--ratio");
  refused(out + Arguments{"--ratio", "0.0001"}, 2, "cannot be reached");
  refused(out + Arguments{"--ratio", "half"}, 2, "expected a number, got \"half\"");
  refused(out + Arguments{"--ratio", "0.5", "--scheme", "tucker"}, 2, "\"tucker\"");
  refused(out + Arguments{"--ratio", "0.5", "--scheme", "spatial"}, 6,
          "mlp has no layer that the spatial scheme can factor");
  refused({"--ratio", "0.5", "--out", t.folder.path().string()}, 2, "is a folder");
  refused({"--ratio", "0.5", "--overwrite", "--out", t.checkpoint}, 2, "is the checkpoint itself");
  refused({"--sweep", "--ratio", "0.5", "--out", t.out("s")}, 2, "--sweep");
  refused(out + Arguments{"--ratio", "0.5", "--data", "synth-objects"}, 2,
          "synth-objects has images of 3x32x32");
  write_file_atomic(t.out("there"), "kept");
  refused({"--ratio", "0.5", "--out", t.out("there")}, 2, "exists; use --overwrite");
  CHECK(read_text(t.out("there")) == "kept");

  // Factors in a checkpoint that do not fit its network.
  for (const char* text :
       {R"([{"layer":"fc9","scheme":"linear","rank":2}])", R"([{"layer":"fc1","scheme":"tucker","rank":2}])",
        R"([{"layer":"fc1","scheme":"linear","rank":100000}])", R"([{"layer":"fc1"}])", R"({"a":1})"}) {
    RawCheckpoint c = read_raw(t.checkpoint);
    c.meta["factors"] = Json::parse(text);
    write_raw(t.out("bad.safetensors"), c);
    RunResult r = run_sigma({"eval", "--checkpoint", t.out("bad.safetensors")});
    INFO(text << " " << r.err);
    CHECK(r.exit_code == 6);
    CHECK(contains(r.err, "bad.safetensors"));
  }

  auto train = [&](const Arguments& flags, const std::string& why, int code = 2) {
    RunResult r = run_sigma(Arguments{"train", "--checkpoint", t.checkpoint, "--quiet", "--max-steps", "1",
                                      "--out", t.out("run2")} +
                            flags);
    INFO(r.err);
    CHECK(r.exit_code == code);
    CHECK(contains(r.err, why));
    CHECK_FALSE(fs::exists(t.out("run2")));
  };
  train({"--model", "cnn"}, "--model");
  train({"--batch-norm", "off"}, "--batch-norm");
  train({"--normalize", "unit"}, "--normalize");
  train({"--mean", "0.5"}, "--mean");
  train({"--init", "orthogonal"}, "--init");
  train({"--data", "synth-objects"}, "synth-objects has images of 3x32x32");
  RunResult r = run_sigma({"train", "--checkpoint", t.out("none.safetensors"), "--out", t.out("run3")});
  CHECK(r.exit_code == 4);
  CHECK(contains(r.err, "none.safetensors"));
}

TEST_CASE("ranks under a budget are no worse than any uniform choice of energy", "[factor]") {
  ModulePtr model = make_model("cnn", {1, 28, 28, 10}, true, 3);
  auto all = candidates_of(*model, {1, 28, 28, 10}, std::nullopt);
  REQUIRE(all.size() == 4);
  auto log_energy = [&](const std::vector<Choice>& choices) {
    double sum = 0;
    for (size_t i = 0; i < all.size(); ++i) sum += std::log(energy_of(all[i], choices[i]));
    return sum;
  };
  for (Cost cost : {Cost::parameters, Cost::macs}) {
    auto cost_of = [&](const std::vector<Choice>& choices) {
      int64_t sum = 0;
      for (size_t i = 0; i < all.size(); ++i)
        sum += cost == Cost::macs ? macs_of(all[i], choices[i]) : parameters_of(all[i], choices[i]);
      return sum;
    };
    const double whole = static_cast<double>(cost_of(std::vector<Choice>(all.size())));
    for (double energy : {.3, .5, .7, .9}) {
      auto uniform = choose_by_energy(all, energy);
      double share = static_cast<double>(cost_of(uniform)) / whole;
      if (share > 1) continue;
      auto chosen = choose_by_share(all, share + 1e-9, cost);
      CHECK(cost_of(chosen) <= cost_of(uniform));
      // The multiplier's corners and single ranks: a hair below the best there is.
      CHECK(log_energy(chosen) >= log_energy(uniform) - 0.02);
    }
  }
}
