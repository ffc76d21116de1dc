// --init: what each kind does to a network, that runs with it repeat and resume, and what is refused.
#include <cmath>
#include <set>

#include "apps/flags/config.h"
#include "apps/training/initial_weights.h"
#include "apps/training/trainer.h"
#include "core/math.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/passes/patch_whitening.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const Arguments kTiny{"train",
                      "--data",
                      "synth-objects",
                      "--limit-train",
                      "48",
                      "--limit-test",
                      "20",
                      "--model",
                      "cnn",
                      "--batch-size",
                      "16",
                      "--epochs",
                      "2",
                      "--quiet",
                      "--threads",
                      "1"};

Arguments to(const fs::path& out) { return {"--out", out.string()}; }

std::string hash_of(const fs::path& run) { return read_json(run / "summary.json")["weights_sha256"]; }

TrainSetup setup_of(const std::string& model, const std::string& kind, const Dataset& data) {
  TrainSetup setup;
  setup.model = model;
  setup.init = kind;
  setup.input = {data.channels(), data.height(), data.width(), data.classes()};
  setup.loader.normalization = make_normalization("standard", data);
  setup.seed = 4;
  return setup;
}

StateDict state_of(const std::string& model, const std::string& kind, const Dataset& data) {
  Trainer trainer(data, setup_of(model, kind, data));
  StateDict state = trainer.model().state_dict();
  for (auto& [name, t] : state.items) t = t.contiguous().clone();
  return state;
}

bool is_weight(const std::string& name, const Tensor& t) {  // of a convolution or a linear layer
  return name.ends_with(".weight") && t.rank() >= 2;
}

}  // namespace

TEST_CASE("the flag --init draws the weights it names and leaves the rest alone", "[cli][init]") {
  Dataset data = make_synth_objects(40, 10);
  for (const char* model : {"cnn", "resnet20", "lenet5"}) {
    INFO(model);
    StateDict plain = state_of(model, "default", data), kaiming = state_of(model, "kaiming", data),
              orthogonal = state_of(model, "orthogonal", data),
              white = state_of(model, "patch-whitening", data), xavier = state_of(model, "xavier", data),
              normal = state_of(model, "normal:0.05", data);
    ModulePtr made = make_model(model, setup_of(model, "default", data).input, true, 4);
    std::string last, first;
    for (const auto& [name, t] : plain.items)
      if (is_weight(name, t)) last = name, first = first.empty() ? name : first;
    for (size_t i = 0; i < plain.items.size(); ++i) {
      const auto& [name, t] = plain.items[i];
      INFO(name);
      CHECK(identical(t, made->state_dict().find(name)->contiguous()));
      CHECK(identical(white.items[i].second, t) == (name != first));
      const Tensor &k = kaiming.items[i].second, &o = orthogonal.items[i].second;
      const Tensor &x = xavier.items[i].second, &g = normal.items[i].second;
      if (!is_weight(name, t)) {
        for (const Tensor* other : {&k, &o, &x}) CHECK(identical(*other, t));
        // The biases of convolutions and linear layers are 0, those of batch norm are anyway.
        CHECK(identical(g, name.ends_with(".bias") ? Tensor::zeros_like(t) : t));
        continue;
      }
      const int64_t out = t.dim(0), in = t.numel() / out;
      const double n = static_cast<double>(t.numel());
      const double field = t.rank() == 4 ? static_cast<double>(t.dim(2) * t.dim(3)) : 1;
      const double fan_in = static_cast<double>(in), fan_out = static_cast<double>(out) * field;
      // A mean of n squares of a normal number deviates by sqrt(2 / n) of itself.
      auto has_variance = [&](const Tensor& w, double variance) {
        CHECK(std::abs(norm2(w) * norm2(w) / n / variance - 1) < 6 * std::sqrt(2 / n));
      };
      has_variance(k, 2 / fan_in);
      has_variance(x, 2 / (fan_in + fan_out));
      has_variance(g, 0.0025);
      Tensor m = o.reshape({out, in}).to(DType::float64), mt = transpose(m, 0, 1);
      Tensor gram = out <= in ? matmul(m, mt) : matmul(mt, m), expected = Tensor::zeros_like(gram);
      for (int64_t j = 0; j < gram.dim(0); ++j)
        expected.mutable_data<double>()[j * gram.dim(0) + j] = name == last ? 1 : 2;
      CHECK(max_abs_difference(gram, expected) < 1e-6);
    }
    // The first convolution, from all 40 images as the network sees them.
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < 40; ++i) rows.push_back(i);
    Tensor expected = plain.find(first)->clone();
    init::patch_whitening(expected,
                          normalized_images(data.train, rows, make_normalization("standard", data)));
    CHECK(identical(*white.find(first), expected));
  }
}

TEST_CASE("the flag --init has Fixup's weights, and airbench94's filters that pass channels on",
          "[cli][init]") {
  Dataset data = make_synth_objects(40, 10);
  const StateDict kaiming = state_of("resnet20", "kaiming", data),
                  fixup = state_of("resnet20", "fixup", data);
  for (const auto& [name, t] : fixup.items) {
    INFO(name);
    const Tensor& drawn = *kaiming.find(name);
    if (name.starts_with("layer") && name.find("conv1.weight") != std::string::npos)
      CHECK(max_abs_difference(t, scale(drawn, 1 / 3.0)) < 1e-6);  // nine blocks of two convolutions
    else if (name.find("conv2.weight") != std::string::npos || name.starts_with("fc."))
      CHECK(norm2(t) == 0);
    else
      CHECK(identical(t, drawn));
  }
  const StateDict white = state_of("cnn", "patch-whitening", data), air = state_of("cnn", "airbench", data);
  for (const auto& [name, t] : air.items) {
    INFO(name);
    CHECK(identical(t, *white.find(name)) == (name != "conv2.weight"));
    if (name != "conv2.weight") continue;
    for (int64_t o = 0; o < t.dim(0); ++o)  // 32 channels to 64
      for (int64_t i = 0; i < t.dim(1); ++i)
        for (int64_t k = 0; k < 9; ++k) {
          const double wanted =
              o < 32 ? (o == i && k == 4 ? 1 : 0) : white.find(name)->at({o, i, k / 3, k % 3});
          REQUIRE(t.at({o, i, k / 3, k % 3}) == wanted);
        }
  }
}

TEST_CASE("runs with --init repeat to the bit, whatever the threads, and resume", "[cli][init][resume]") {
  TemporaryFolder folder;
  std::set<std::string> hashes;
  REQUIRE(run_sigma(kTiny + to(folder / "plain")).exit_code == 0);
  for (const char* kind : {"default", "kaiming", "normal:0.1", "orthogonal", "patch-whitening"}) {
    INFO(kind);
    const fs::path run = folder / kind;
    const Arguments flags = kTiny + Arguments{"--init", kind, "--save-every", "2"};
    REQUIRE(run_sigma(flags + to(run)).exit_code == 0);
    CHECK(read_json(run / "config.json")["init"] == kind);
    const std::string hash = hash_of(run);
    hashes.insert(hash);
    if (std::string(kind) == "default") CHECK(hash == hash_of(folder / "plain"));

    const fs::path again = folder / (std::string(kind) + "-again"),
                   other = folder / (std::string(kind) + "-seed");
    REQUIRE(run_sigma(flags + to(again) + Arguments{"--threads", "3"}).exit_code == 0);
    CHECK(hash_of(again) == hash);
    REQUIRE(run_sigma(flags + to(other) + Arguments{"--seed", "1"}).exit_code == 0);
    hashes.insert(hash_of(other));

    // From the checkpoint before the last, by the flags in config.json.
    fs::remove(run / "summary.json");
    fs::remove(run / "weights/last.safetensors");
    RunResult r = run_sigma(Arguments{"train", "--resume", "--threads", "2", "--quiet"} + to(run));
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(hash_of(run) == hash);
    const char* another = std::string(kind) == "kaiming" ? "default" : "kaiming";
    r = run_sigma(Arguments{"train", "--resume", "--quiet", "--init", another} + to(run));
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, fmt::format("--init was \"{}\", now \"{}\"", kind, another)));
  }
  CHECK(hashes.size() == 10);  // five kinds, two seeds
}

TEST_CASE("the flag --init refuses unknown kinds, and whitening without a convolution", "[cli][init]") {
  TemporaryFolder folder;
  for (const char* verb : {"train", "compare"}) {
    auto refused = [&](const Arguments& flags, const std::string& message) {
      RunResult r = run_sigma(Arguments{verb, "--data", "synth-digits", "--limit-train", "32"} + flags +
                              to(folder / "x"));
      INFO(verb << ": " << r.err);
      CHECK(r.exit_code == 2);
      CHECK(contains(r.err, "error: --init: " + message));
      CHECK(!fs::exists(folder / "x"));
    };
    for (const char* unknown : {"glorot", "", "normal"})
      refused({"--init", unknown}, fmt::format("expected one of default, kaiming, xavier, normal:S, "
                                               "orthogonal, fixup, patch-whitening, airbench, "
                                               "got \"{}\"",
                                               unknown));
    for (const char* deviation :
         {"normal:", "normal:0", "normal:-1", "normal:x", "normal:0.1x", "normal:inf"})
      refused({"--init", deviation},
              fmt::format("expected a deviation above 0, such as normal:0.05, got \"{}\"", deviation));
    for (const char* model : {"mlp", "sigmoid-mlp"})
      refused({"--init", "patch-whitening", "--model", model},
              fmt::format(
                  "patch-whitening needs a network that begins with a convolution, {} begins with Linear fc1",
                  model));
    refused({"--init", "patch-whitening", "--model", "mlp", "--dry-run"}, "patch-whitening needs a network");
    refused({"--init", "airbench", "--model", "mlp"},
            "airbench needs a network that begins with a convolution");
    refused({"--init", "fixup", "--model", "mlp"}, "fixup needs a network of residual blocks, mlp has none");
  }
}

TEST_CASE("compare takes --init and gives the same table on any number of threads", "[cli][init][compare]") {
  TemporaryFolder folder;
  std::vector<std::string> accuracies;
  for (const char* kind : {"default", "patch-whitening"})
    for (const char* threads : {"1", "2"}) {
      const fs::path run = folder / (std::string(kind) + threads);
      RunResult r = run_sigma(Arguments{"compare",
                                        "--data",
                                        "synth-digits",
                                        "--limit-train",
                                        "200",
                                        "--limit-test",
                                        "60",
                                        "--batch-size",
                                        "20",
                                        "--normalize",
                                        "standard",
                                        "--max-steps",
                                        "30",
                                        "--seeds",
                                        "2",
                                        "--quiet",
                                        "--init",
                                        kind,
                                        "--threads",
                                        threads} +
                              to(run));
      INFO(r.err);
      REQUIRE(r.exit_code == 0);
      CHECK(read_json(run / "config.json")["init"] == kind);
      std::string all;
      const Json summary = read_json(run / "summary.json");
      for (const Json& arm : summary.at("arms")) all += arm.at("test_accuracy").dump();
      CHECK(!all.empty());
      accuracies.push_back(all);
    }
  CHECK(accuracies[0] == accuracies[1]);
  CHECK(accuracies[2] == accuracies[3]);
  CHECK(accuracies[0] != accuracies[2]);
}

TEST_CASE("a run from before a flag existed had its default", "[cli][resume]") {
  Json now = app::flags_json(app::Options()), then = now;
  then.erase("init");
  CHECK(app::differing_flags(then, now).empty());
  now["init"] = "kaiming";
  CHECK(app::differing_flags(then, now) == "; --init was \"default\", now \"kaiming\"");
}
