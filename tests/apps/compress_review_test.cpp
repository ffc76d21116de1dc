// sigma compress and the folders of runs: nothing that is read is replaced, nothing useless is written.
#include "apps/training/checkpoint.h"
#include "core/math.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

RunResult train(const fs::path& out, const Arguments& more) {
  RunResult r =
      run_sigma(Arguments{"train", "--data", "synth-digits", "--limit-train", "200", "--limit-test", "40",
                          "--batch-size", "50", "--max-steps", "4", "--quiet", "--out", out.string()} +
                more);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

std::map<std::string, Tensor> tensors_of(const fs::path& checkpoint) {
  return read_raw(checkpoint.string()).content.tensors;
}

}  // namespace

TEST_CASE("a folder that holds the checkpoint a verb reads is not replaced", "[cli]") {
  TemporaryFolder folder;
  fs::path run = folder / "run", weights = run / "weights/last.safetensors";
  train(run, {"--model", "mlp"});
  std::string before = read_text(weights);
  for (const Arguments& verb :
       {Arguments{"train", "--max-steps", "1"}, Arguments{"compress", "--sweep"}, Arguments{"spectrum"}}) {
    RunResult r =
        run_sigma(verb + Arguments{"--checkpoint", weights.string(), "--out", run.string(), "--overwrite"});
    INFO(verb[0] << " " << r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, "would be replaced"));
    CHECK(read_text(weights) == before);
  }
}

TEST_CASE("a sweep's folder is a run that --overwrite replaces", "[cli]") {
  TemporaryFolder folder;
  train(folder / "run", {"--model", "mlp"});
  Arguments sweep{"compress",      "--sweep",
                  "--checkpoint",  (folder / "run/weights/last.safetensors").string(),
                  "--limit-train", "100",
                  "--limit-test",  "20",
                  "--out",         (folder / "sweep").string(),
                  "--quiet"};
  REQUIRE(run_sigma(sweep).exit_code == 0);
  CHECK(read_json(folder / "sweep/config.json")["sweep"] == true);
  CHECK(run_sigma(sweep).exit_code == 2);
  CHECK(run_sigma(sweep + Arguments{"--overwrite"}).exit_code == 0);
}

TEST_CASE("a network that gets no smaller is written as it was", "[cli]") {
  TemporaryFolder folder;
  fs::path original = folder / "run/weights/last.safetensors", out = folder / "same.safetensors";
  train(folder / "run", {"--model", "lenet5"});
  RunResult r = run_sigma({"compress", "--checkpoint", original.string(), "--ratio", "1", "--out",
                           out.string(), "--limit-train", "100", "--limit-test", "20"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(contains(r.out, "no layer gets smaller"));
  std::map<std::string, Tensor> then = tensors_of(original);
  for (auto& [name, t] : tensors_of(out)) CHECK(identical(then.at(name), t));
}

TEST_CASE("statistics measured anew do not depend on the order of the training images", "[cli]") {
  // A folder's images come sorted by class; a batch of one class has another variance.
  TemporaryFolder folder;
  Dataset digits = make_synth_digits(600, 20);
  auto lay_out = [&](const Split& split, const fs::path& where) {
    const uint8_t* p = split.images.data<uint8_t>();
    for (int64_t i = 0; i < split.size(); ++i) {
      fs::path to = where / std::to_string(split.labels.data<int64_t>()[i]);
      fs::create_directories(to);
      write_file_atomic((to / (std::to_string(i) + ".png")).string(),
                        png_bytes({28, 28, 1, Bytes(p + i * 784, p + (i + 1) * 784)}));
    }
  };
  lay_out(digits.train, folder / "data/train");
  for (int64_t i = 0; i < 20; ++i) digits.test.labels.mutable_data<int64_t>()[i] = i % 10;
  lay_out(digits.test, folder / "data/test");
  std::string data = "folder:" + (folder / "data").string();
  RunResult r = run_sigma({"train", "--data", data, "--model", "mlp", "--max-steps", "12", "--batch-size",
                           "100", "--lr", "0.01", "--quiet", "--out", (folder / "run").string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  std::string checkpoint = (folder / "run/weights/last.safetensors").string();
  auto variance = [&](const char* images) {
    std::string out = (folder / (std::string(images) + ".safetensors")).string();
    RunResult c = run_sigma({"compress", "--checkpoint", checkpoint, "--rank", "60", "--bn-images", images,
                             "--quiet", "--out", out});
    INFO(c.err);
    REQUIRE(c.exit_code == 0);
    return tensors_of(out).at("bn1.running_var").to(DType::float64);
  };
  // 250 images are one batch, spread over all classes; 502 are three, which must agree with it.
  Tensor one = variance("250"), three = variance("502");
  CHECK(norm2(sub(one, three)) <= 0.15 * norm2(one));
}

TEST_CASE("weights that are not finite are named before anything is made of them", "[cli]") {
  TemporaryFolder folder;
  fs::path original = folder / "run/weights/last.safetensors";
  train(folder / "run", {"--model", "lenet5"});
  for (const char* name : {"conv2.weight", "fc1.bias", "bn3.running_mean"}) {
    RawCheckpoint c = read_raw(original.string());
    Tensor bad = c.content.tensors.at(name).clone();
    bad.mutable_data<float>()[3] = std::nanf("");
    c.content.tensors[name] = bad;
    std::string path = (folder / "bad.safetensors").string();
    write_raw(path, c);
    for (const Arguments& verb :
         {Arguments{"compress", "--ratio", "0.5"}, Arguments{"train", "--max-steps", "1"}}) {
      RunResult r = run_sigma(verb + Arguments{"--checkpoint", path, "--out", (folder / "out").string()});
      INFO(verb[0] << " " << r.err);
      CHECK(r.exit_code == 6);
      CHECK(contains(r.err, "bad.safetensors"));
      CHECK(contains(r.err, name));
      CHECK_FALSE(fs::exists(folder / "out"));
    }
  }
}

TEST_CASE("no layer is factored into more work, and a missing folder is told at once", "[cli]") {
  TemporaryFolder folder;
  train(folder / "run", {"--model", "lenet5"});
  std::string checkpoint = (folder / "run/weights/last.safetensors").string();
  Arguments compress{"compress", "--checkpoint", checkpoint, "--limit-train",
                     "100",      "--limit-test", "20",       "--json"};
  for (const char* energy : {"0.5", "0.8", "0.95"}) {
    RunResult r =
        run_sigma(compress + Arguments{"--energy", energy, "--overwrite", "--out", (folder / "c").string()});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    const Json layers = last_line_json(r.out)["layers"];
    for (const Json& l : layers) {
      CHECK(l["macs_after"].get<int64_t>() <= l["macs_before"].get<int64_t>());
      CHECK(l["parameters_after"].get<int64_t>() <= l["parameters_before"].get<int64_t>());
    }
  }
  RunResult r = run_sigma(compress + Arguments{"--ratio", "0.5", "--out", (folder / "none/c").string()});
  CHECK(r.exit_code == 4);
  CHECK(contains(r.err, "does not exist"));
  r = run_sigma(compress +
                Arguments{"--ratio", "0.5", "--limit-test", "-1", "--out", (folder / "d").string()});
  CHECK(r.exit_code == 2);
  r = run_sigma({"train", "--whiten-epsilon", "0.1", "--out", (folder / "w").string()});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--whiten-epsilon"));
  // The configuration of another run gives no normalization of its own.
  r = run_sigma({"train", "--checkpoint", checkpoint, "--config", (folder / "run/config.json").string(),
                 "--out", (folder / "tuned").string(), "--quiet"});
  INFO(r.err);
  CHECK(r.exit_code == 0);
}
