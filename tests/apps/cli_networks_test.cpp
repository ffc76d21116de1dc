// A network of the user's own, as a text, through every verb; and what a checkpoint says of it.
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

const std::string kText =
    "conv 8, bn, relu, maxpool 4 # small\nflatten, linear 16, bn, silu\nlinear classes\n";

Arguments train(const fs::path& out, const Arguments& more) {
  return Arguments{"train", "--limit-train", "64",    "--limit-test", "32", "--batch-size",
                   "16",    "--quiet",       "--out", out.string()} +
         more;
}

std::string hash_of(const fs::path& run) { return read_json(run / "summary.json").at("weights_sha256"); }

RunResult passing(const Arguments& arguments) {
  RunResult r = run_sigma(arguments);
  INFO(arguments[0] << ": " << r.err);
  REQUIRE(r.exit_code == 0);
  return r;
}

}  // namespace

TEST_CASE("a text trains as the demo network of its layers does, and its run holds it", "[cli]") {
  TemporaryFolder folder;
  const std::string inlined =
      "conv 32, bn, relu, maxpool 2, conv 64, bn, relu, maxpool 2, flatten, linear 128, bn, relu, linear "
      "classes";
  passing(train(folder / "demo", {"--model", "cnn", "--max-steps", "2"}));
  passing(train(folder / "inline", {"--model", inlined, "--max-steps", "2"}));
  CHECK(hash_of(folder / "demo") == hash_of(folder / "inline"));
  CHECK(read_json(folder / "inline" / "config.json").at("model") == inlined);
}

TEST_CASE("a run of a .net file goes on when the file is gone, and the other verbs take its checkpoint",
          "[cli]") {
  TemporaryFolder folder;
  const fs::path file = folder / "my.net", run = folder / "run", whole = folder / "whole";
  write_file_atomic(
      file.string(),
      "\xEF\xBB\xBF" + std::string(kText));  // the byte-order mark of some editors is none of it
  passing(train(whole, {"--model", file.string(), "--max-steps", "8", "--norm", "group:4"}));
  passing(
      train(run, {"--model", file.string(), "--max-steps", "8", "--norm", "group:4", "--save-every", "4"}));
  // As if it had been stopped at step 4.
  fs::rename(run / "weights/last-previous.safetensors", run / "weights/last.safetensors");
  fs::remove(file);
  passing({"train", "--resume", "--quiet", "--out", run.string()});
  CHECK(hash_of(run) == hash_of(whole));
  CHECK(read_json(run / "config.json").at("model") == kText);

  const std::string checkpoint = (run / "weights/last.safetensors").string();
  const RawCheckpoint raw = read_raw(checkpoint);
  CHECK(raw.meta.at("network") == kText);
  CHECK(raw.meta.at("norm") == "group:4");
  CHECK(raw.meta.at("model") == "conv 8, bn, relu, maxpool 4, flatten,...");
  CHECK(raw.content.tensors.count("bn1.weight") == 1);
  CHECK(raw.content.tensors.count("bn1.running_mean") == 0);
  const Json summary = read_json(run / "summary.json");
  const Json eval = last_line_json(
      passing({"eval", "--checkpoint", checkpoint, "--limit-test", "32", "--json", "--quiet"}).out);
  CHECK(eval.at("test_accuracy") == summary.at("test_accuracy"));
  passing({"spectrum", "--checkpoint", checkpoint, "--out", (folder / "spectrum").string(), "--quiet"});
  passing({"compress", "--checkpoint", checkpoint, "--energy", "0.9", "--limit-test", "32", "--limit-train",
           "64", "--out", (folder / "small").string(), "--quiet"});
  passing(train(folder / "tuned", {"--checkpoint", checkpoint, "--max-steps", "1"}));
  CHECK(read_json(folder / "tuned" / "config.json").at("norm") == "group:4");
  RunResult other = run_sigma(train(folder / "no", {"--checkpoint", checkpoint, "--norm", "layer"}));
  CHECK(other.exit_code == 2);
  CHECK(contains(other.err, "--norm: the network of"));
}

TEST_CASE("summary, bench and compare take texts; summary prints them", "[cli]") {
  const std::string text = passing({"summary", "--model", "resnet20", "--as-text"}).out;
  CHECK(contains(text, "layer1: 3 x block(16)\n"));
  CHECK(passing({"summary", "--model", text, "--as-text"}).out == text);
  const Json a = last_line_json(
                 passing({"summary", "--model", text, "--data", "synth-objects", "--json"}).out),
             b = last_line_json(passing({"summary", "--model", "resnet20", "--json"}).out);
  CHECK(a.at("layers") == b.at("layers"));
  const Json none =
      last_line_json(passing({"summary", "--model", "resnet20", "--norm", "none", "--json"}).out);
  CHECK(none.at("layers") ==
        last_line_json(passing({"summary", "--model", "resnet20", "--batch-norm", "off", "--json"}).out)
            .at("layers"));
  CHECK(contains(passing({"summary", "--words"}).out, "  conv OUT KERNEL=3 stride=1"));
  CHECK(contains(passing({"bench", "infer", "--model", kText, "--seconds", "0.01", "--batch-size", "2"}).out,
                 "infer conv 8, bn, relu, maxpool 4, flatten,... batch 2"));
  TemporaryFolder folder;
  passing({"compare", "--model", kText, "--normalize", "unit", "--seeds", "1", "--max-steps", "2",
           "--limit-train", "64", "--limit-test", "32", "--quiet", "--out", (folder / "c").string()});
}

TEST_CASE("summary draws a network as SVG and PNG", "[cli]") {
  TemporaryFolder folder;
  for (const char* name : {"resnet20", "cnn"})
    for (const char* file : {"n.svg", "n.png"}) {
      const fs::path path = folder / file;
      passing({"summary", "--model", name, "--draw", path.string(), "--quiet"});
      const std::string bytes = read_text(path);
      if (fs::path(file).extension() == ".png") {
        CHECK(bytes.rfind("\x89PNG", 0) == 0);
        continue;
      }
      const bool residual = std::string(name) == "resnet20";
      CHECK(count_of(bytes, ">Conv2d<") == (residual ? 21U : 2U));
      CHECK(count_of(bytes, ">BatchNorm2d<") == (residual ? 21U : 2U));
      CHECK(contains(bytes, residual ? ".0.downsample.0<" : ">conv2<"));
      CHECK(contains(bytes, residual ? ">(1, 64, 8, 8)<" : ">(1, 64, 14, 14)<"));
    }
  RunResult r = run_sigma({"summary", "--draw", "n.gif"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--draw: expected a file that ends in .svg or .png"));
}

TEST_CASE("a wrong text names its place and leaves nothing behind", "[cli]") {
  TemporaryFolder folder;
  const std::string file = (folder / "my.net").string();
  write_file_atomic(file, std::string("conv 8\nrleu\n"));
  auto refused = [&](const std::string& model, const std::string& message, int code = 2) {
    RunResult r = run_sigma(train(folder / "out", {"--model", model}));
    INFO(r.err);
    CHECK(r.exit_code == code);
    CHECK(contains(r.err, message));
    CHECK(!fs::exists(folder / "out"));
  };
  refused(file, "my.net: line 2, column 1: unknown layer \"rleu\"; did you mean relu?");
  refused("conv 8, rleu", "--model: line 1, column 9: unknown layer \"rleu\"; did you mean relu?");
  refused("restnet20", "--model: unknown name \"restnet20\", expected one of mlp");
  refused((folder / "none.net").string(), "none.net", 4);
  refused("flatten, conv 3",
          "network: line 1, column 10: conv: [conv2d] expected input (N, C, H, W), got (1, 784)");
  RunResult r = run_sigma({"summary", "--norm", "group"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--norm: expected batch, none, layer or group:N"));
}

TEST_CASE("a checkpoint has a text or a name; one whose text is bad or another network's is refused",
          "[cli]") {
  TemporaryFolder folder;
  const Dataset data = make_synth_digits(4, 4);
  TrainSetup setup;
  setup.model = kText;
  const RawCheckpoint good = raw_of(*make_model(setup.model, setup.input, true), setup, data);
  const std::string path = (folder / "c.safetensors").string();
  auto eval = [&](const RawCheckpoint& c) {
    write_raw(path, c);
    return run_sigma({"eval", "--checkpoint", path, "--limit-test", "4", "--quiet"});
  };
  CHECK(good.meta.at("network") == kText);
  CHECK(eval(good).exit_code == 0);
  setup.model = "lenet5";
  const RawCheckpoint named = raw_of(*make_model(setup.model, setup.input, true), setup, data);
  CHECK(!named.meta.contains("network"));
  CHECK(eval(named).exit_code == 0);

  struct Bad {
    const char* key;
    Json value;
    const char* message;
  };
  const Bad cases[] = {{"network", "conv 6 5, rleu", "network: line 1, column 11: unknown layer"},
                       {"network", "1000 x { 1000 x relu }", "expected at most 10000 layers"},
                       {"network", std::string(70000, '\n'), "expected a text of at most 65536 bytes"},
                       {"network", "flatten, linear classes", "model: expected \"flatten, linear classes\""},
                       {"network", 5, "network"},
                       {"norm", "group:x", "norm: expected batch, none, layer or group:N"},
                       {"norm", "layer", "bn1"},
                       {"model", "lenet5", "how its text begins, got \"lenet5\""}};
  for (const Bad& c : cases) {
    INFO(c.key << " " << c.value.dump().substr(0, 100));
    RawCheckpoint bad = good;
    bad.meta[c.key] = c.value;
    RunResult r = eval(bad);
    INFO(r.err);
    CHECK(r.exit_code == 6);
    CHECK(contains(r.err, c.message));
  }
  // Texts that are good, of networks that the weights are not of.
  const std::pair<const char*, const char*> others[] = {
      {"flatten, linear 300000, linear classes", "has more weights than"},
      {"flatten, linear 1000000, linear 1000000, linear classes", "has more weights than"},
      {"flatten, linear classes", "fc.weight"}};
  for (const auto& [text, message] : others) {
    INFO(text);
    RawCheckpoint bad = good;
    bad.meta["network"] = text;
    bad.meta["model"] = model_label(text);
    RunResult r = eval(bad);
    INFO(r.err);
    CHECK(r.exit_code == 6);
    CHECK(contains(r.err, message));
  }
}
