// Wrong command lines, configuration files and run folders.
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

// On tiny data that is good.
BadInput train(const std::string& name, const Words& flags, const std::string& message, int exit_code = 2) {
  Words command{"train",       "--quiet", "--threads", "1",     "--model", "mlp",
                "--max-steps", "2",       "--data",    "mnist", "--out",   "{folder}/out"};
  command.insert(command.end(), flags.begin(), flags.end());
  return {name, [](const fs::path& folder) { put_mnist(folder / "data/mnist"); }, command, exit_code,
          message};
}
// One flag with a value it must not have.
BadInput flag(const std::string& name, const std::string& value, const std::string& message) {
  return train(name + " " + value, {name, value}, name + ": " + message);
}
BadInput command(const Words& words, const std::string& message, int exit_code = 2) {
  std::string name = "sigma";
  for (auto& w : words) name += " " + w;
  return {name, {}, words, exit_code, message};
}
BadInput config(const std::string& name, const std::string& json, const std::string& message) {
  BadInput c = train(name, {"--config", "c.json"}, message);
  c.prepare = [=](const fs::path& folder) {
    put_mnist(folder / "data/mnist");
    put(folder / "c.json", json);
  };
  return c;
}
// With `path` there beforehand, holding `content`.
BadInput with_file(BadInput c, const std::string& path, const std::string& content) {
  c.prepare = [=, before = c.prepare](const fs::path& folder) {
    if (before) before(folder);
    put(folder / path, content);
  };
  return c;
}

const std::string kVerbs =
    "train, compare, eval, compress, predict, summary, gradcheck, data, bench, spectrum(, [a-z-]+)*";

}  // namespace

TEST_CASE("a wrong verb or flag is refused with a suggestion", "[bad_input]") {
  check_all_refused({
      command({}, "sigma: expected one of " + kVerbs + "; --help explains"),
      command({"trian"},
              "sigma: unknown verb \"trian\", expected one of " + kVerbs + "; did you mean train\\?"),
      command({"xyzzyxyzzy"}, "sigma: unknown verb \"xyzzyxyzzy\", expected one of " + kVerbs),
      command({"--lr", "1"}, "sigma: unknown flag --lr"),
      command({"data"}, "data: expected one of list, fetch, verify, preview; --help explains"),
      command({"data", "fetsh", "mnist"},
              "data: unknown verb \"fetsh\", expected one of list, fetch, verify, preview; did you mean "
              "fetch\\?"),
      command(
          {"bench", "trian"},
          "bench: unknown verb \"trian\", expected one of train, infer, kernels, svd; did you mean train\\?"),
      train("an unknown flag", {"--bacth-size", "3"},
            "train: unknown flag --bacth-size; did you mean --batch-size\\?"),
      train("an unknown flag with =", {"--momentun=0.9"},
            "train: unknown flag --momentun; did you mean --momentum\\?"),
      train("a flag like no other", {"--xyzzyxyzzy"},
            "train: unknown flag --xyzzyxyzzy; `sigma help train` lists them"),
      train("a flag of another verb", {"--histogram-layer", "bn1"},
            "train: unknown flag --histogram-layer; `sigma help train` lists them"),
      train("a word too many", {"now"}, "train: unexpected argument \"now\""),
      train("a missing value", {"--batch-size"}, "--batch-size: expected a whole number, got none"),
      train("a flag as a value", {"--lr", "0.1", "--epochs", "--seed", "1"},
            "--epochs: expected a whole number, got \"--seed\""),
      train("a switch with a value", {"--nesterov=maybe"},
            "--nesterov: expected true or false, got \"maybe\""),
  });
}

TEST_CASE("a number that is none or out of range is refused", "[bad_input]") {
  check_all_refused({
      flag("--epochs", "three", "expected a whole number, got \"three\""),
      flag("--epochs", "2.5", R"(expected a whole number, got "2\.5")"),
      flag("--epochs", "-3", "expected at least 0, got -3"),
      flag("--batch-size", "0", "expected at least 1, got 0"),
      flag("--batch-size", "-5", "expected at least 1, got -5"),
      flag("--batch-size", "65537", "expected at most 65536, got 65537"),
      flag("--batch-size", "12cats", "expected a whole number, got \"12cats\""),
      flag("--lr", "nan", "expected a number, got \"nan\""),
      flag("--lr", "inf", "expected a number, got \"inf\""),
      flag("--lr", "-0.1", R"(expected at least 0, got -0\.1)"),
      flag("--lr", "fast", "expected a number, got \"fast\""),
      flag("--lr", "1e999", "expected a number, got \"1e999\""),
      flag("--momentum", "1.5", R"(expected 0 to less than 1, got 1\.5)"),
      flag("--momentum", "-0.5", R"(expected at least 0(\.0)?, got -0\.5)"),
      flag("--momentum", "nan", R"(expected at least 0(\.0)?, got nan)"),
      flag("--momentum", "much", "expected a number, got \"much\""),
      flag("--weight-decay", "-1", R"(expected at least 0(\.0)?, got -1(\.0)?)"),
      flag("--weight-decay", "inf", "expected a number, got inf"),
      flag("--clip-norm", "nan", R"(expected at least 0(\.0)?, got nan)"),
      flag("--label-smoothing", "2", R"(expected 0 to 1, got 2(\.0)?)"),
      flag("--label-smoothing", "nan", "expected 0 to 1, got nan"),
      flag("--threads", "65", R"(expected 1 to 64 \(0: all processors\), got 65)"),
      flag("--threads", "-1", R"(expected 1 to 64 \(0: all processors\), got -1)"),
      flag("--threads", "4294967297", "expected a whole number, got \"4294967297\""),
      flag("--seed", "-1", "expected a whole number from 0 to 18446744073709551615, got \"-1\""),
      flag("--seed", "18446744073709551616",
           "expected a whole number from 0 to 18446744073709551615, got \"18446744073709551616\""),
      flag("--max-steps", "-1", "expected at least 0, got -1"),
      flag("--limit-train", "-1", "expected at least 0, got -1"),
      flag("--limit-test", "-1", "expected at least 0, got -1"),
      flag("--warmup", "-2", "expected at least 0, got -2"),
      flag("--save-every", "-1", "expected at least 0, got -1"),
      flag("--mean", "x", "expected a number, got \"x\""),
      flag("--mean", "0.1,0.2", "expected 1 or 1 numbers, got 2"),
      flag("--std", "0.1,0.2,0.3", "expected 1 or 1 numbers, got 3"),
      flag("--std", "0", R"(expected deviations above 0, got 0(\.0)?)"),
      flag("--std", "-1", R"(expected deviations above 0, got -1(\.0)?)"),
      command({"compare", "--seeds", "0"}, "--seeds: expected at least 1, got 0"),
      command({"bench", "train", "--batch-size", "-1"}, "--batch-size: expected at least 1, got -1"),
  });
}

TEST_CASE("a name that is not known is refused with those that are", "[bad_input]") {
  check_all_refused({
      train("--data mnits", {"--data", "mnits"},
            "data: unknown data set \"mnits\", expected one of mnist, fashion-mnist, kmnist, cifar10, "
            "cifar100, "
            "synth-digits, synth-objects or folder:PATH"),
      train("--model resnet21", {"--model", "resnet21"},
            "--model: unknown name \"resnet21\", expected one of mlp, .*resnet110, or layers as text"),
      flag("--normalize", "batch", "unknown kind \"batch\", expected one of none, unit, standard, zca, pca"),
      train("--schedule linear", {"--schedule", "linear"},
            "--schedule: unknown name \"linear\", expected constant, step, cosine or one-cycle"),
      flag("--augment", "twist",
           R"(unknown kind "twist", expected none, or of flip, crop, rotate, .*, cutmix some, joined by \+)"),
      flag("--sampler", "even", R"(unknown kind "even", expected shuffle or balanced)"),
      flag("--val", "1", "expected 0 to less than 1, got 1"),
      flag("--image-size", "48", "is for folders of images, got mnist"),
      flag("--crop-padding", "wrap", "expected reflect or zero, got \"wrap\""),
      flag("--batch-norm", "yes", "expected on or off, got \"yes\""),
      flag("--precision", "f16", "expected f32 or bf16, got \"f16\""),
      command({"gradcheck", "--layer", "Conv3d"},
              "--layer: unknown layer \"Conv3d\"; did you mean Conv2d\\?"),
      command({"gradcheck", "--layer", "xyzzyxyzzy"}, "--layer: unknown layer \"xyzzyxyzzy\""),
      command({"summary", "--model", "alexnet"},
              "--model: unknown name \"alexnet\", expected one of mlp, .*"),
      command({"data", "fetch"}, "data fetch: expected the name of a data set"),
      command({"data", "verify", "imagenet"},
              "data: \"imagenet\" is not a public data set, expected one of mnist, .*"),
  });
}

TEST_CASE("values that do not go together are refused", "[bad_input]") {
  check_all_refused({
      command({"compare", "--lr", "0.1,0.2,0.1"}, R"(--lr: "0\.1" is listed twice)"),
      command({"compare", "--batch-norm", "on,on"}, "--batch-norm: \"on\" is listed twice"),
      command({"compare", "--normalize", "unit,"},
              "--normalize: expected comma-separated values, got \"unit,\""),
      command({"compare", "--batch-norm", "on,perhaps"},
              R"(--batch-norm: expected on or off, got "perhaps" \(value 2 of "on,perhaps"\))"),
      train("a list of learning rates", {"--lr", "0.1,0.2"},
            R"(--lr: expected one value, got "0\.1,0\.2"; lists are for compare)"),
      train("a list of batch norms", {"--batch-norm", "on,off"},
            "--batch-norm: expected one value, got \"on,off\"; lists are for compare"),
      train("Nesterov without momentum", {"--nesterov", "--momentum", "0"},
            R"(--nesterov: needs a --momentum above 0)"),
      train(
          "a batch of one before batch norm", {"--batch-size", "1"},
          R"(\[batch_norm\] (bn1: )?Expected more than 1 value per channel when training, got input size \(1, \d+\))"),
      {"a network that pools more than there is",
       [](const fs::path& folder) { put_mnist(folder / "data/mnist", 16, 8, 8); },
       {"train", "--quiet", "--model", "lenet5", "--data", "mnist", "--out", "out"},
       2,
       R"(model lenet5: for images of 1x8x8 and 10 classes: network: line 3, column 1: conv: .*the padded input )"
       R"(\(1, 6, 4, 4\) has 4; the shape before it is \(1, 6, 4, 4\))"},
      {"a layer to look at that there is not",
       [](const fs::path& folder) { put_mnist(folder / "data/mnist"); },
       {"compare", "--quiet", "--model", "mlp", "--data", "mnist", "--histogram-layer", "bn9", "--out",
        "out"},
       2,
       "--histogram-layer: \"bn9\" is no batch norm of mlp, expected one of bn1, bn2"},
  });
}

TEST_CASE("a wrong configuration file is refused", "[bad_input]") {
  check_all_refused({
      config("no JSON", "epochs: 3", R"(c\.json: at byte \d+ \(line 1\): this is not valid JSON: e)"),
      config("empty", "", R"(c\.json: at byte 0 \(line 1\): expected JSON, found nothing)"),
      config("cut", "{\"epochs\": 3", R"(c\.json: at byte 12 \(line 1\): the JSON is cut off)"),
      config("nested without end", std::string(40000, '['),
             R"(c\.json: at byte 64 \(line 1\): nested more than 64 levels deep)"),
      config("a key twice", "{\"epochs\": 1, \"epochs\": 2}",
             R"(c\.json: at byte 21 \(line 1\): "epochs" appears twice)"),
      config("text after a NUL", std::string("{\"epochs\": 0}\0{}", 16),
             R"(c\.json: at byte 13 \(line 1\): a NUL is not valid JSON)"),
      config("bytes that are no UTF-8", "{\"epochs\": \"\xff\"}",
             R"(c\.json: at byte 12 \(line 1\): byte ff is not valid UTF-8)"),
      config("a list", "[1, 2]", R"(c\.json: expected a JSON object of flags)"),
      config("an unknown key", "{\"epoch\": 3}", R"(c\.json: unknown key "epoch"; did you mean "epochs"\?)"),
      config("a key like no other", "{\"xyzzyxyzzy\": 3}", R"(c\.json: unknown key "xyzzyxyzzy")"),
      config("another configuration file", "{\"config\": \"c.json\"}", R"(c\.json: unknown key "config")"),
      config("an object for a number", "{\"epochs\": {}}",
             R"(c\.json: the value of "epochs" is neither a text, a number, a list nor true or false)"),
      config("null for a number", "{\"epochs\": null}",
             R"(c\.json: the value of "epochs" is neither a text, a number, a list nor true or false)"),
      config("a text for a number", "{\"epochs\": \"many\"}",
             "--epochs: expected a whole number, got \"many\""),
      config("a list for a number", "{\"epochs\": [1, 2]}", "--epochs: expected a whole number, got \"1,2\""),
      config("a number out of range", "{\"batch-size\": 0}", "--batch-size: expected at least 1, got 0"),
      config("true for a name", "{\"normalize\": true}",
             "--normalize: unknown kind \"true\", expected one of none, unit, standard, zca, pca"),
      train("none", {"--config", "c.json"}, R"(c\.json: cannot open: No such file or directory)", 4),
      train("a folder", {"--config", "data"}, "data: expected a regular file", 3),
  });
}

TEST_CASE("a run folder that must not be written is refused", "[bad_input]") {
  std::string again = "holds a run already; use --resume, --overwrite or another folder";
  check_all_refused({
      with_file(train("a folder of something else", {}, "--out: .*/out is not empty and holds no run; .*"),
                "out/thesis.txt", "precious"),
      with_file(train("that, to be overwritten", {"--overwrite"},
                      "--out: .*/out is not empty and holds no run; choose another folder"),
                "out/thesis.txt", "precious"),
      with_file(with_file(train("a run", {}, "--out: .*/out " + again), "out/sigma-run", "sigma run 1\n"),
                "out/config.json", "{}"),
      with_file(train("a folder with a config.json of something else", {"--overwrite"},
                      "--out: .*/out is not empty and holds no run; choose another folder"),
                "out/config.json", "{\"epochs\": 3}"),
      with_file(train("a file", {}, "--out: .*/out is a file, expected a folder"), "out", "precious"),
      with_file(train("below a file", {"--out", "file/out"},
                      "file/out: cannot create the folder: Not a directory", 4),
                "file", "precious"),
      train("where no folder can be", {"--out", "/proc/nonexistent/out"},
            "/proc/nonexistent/out: cannot create the folder: No such file or directory", 4),
      train("resuming nothing", {"--resume"}, ".*/out: there is no run to resume: config\\.json is missing",
            4),
      command({"train", "--resume"}, "runs/train: there is no run to resume", 4),
      command({"compare", "--resume"}, "runs/compare: there is no run to resume", 4),
      command({"train", "--resume", "--overwrite"}, "--resume: cannot be combined with --overwrite"),
      with_file(train("resuming and overwriting", {"--resume", "--overwrite"},
                      "--resume: cannot be combined with --overwrite"),
                "out/config.json", "{}"),
      with_file(train("resuming a run with a damaged configuration", {"--resume"},
                      R"(.*/out/config\.json: at byte 1 \(line 1\): the JSON is cut off)"),
                "out/config.json", "{"),
      with_file({"a preview that is there",
                 {},
                 {"data", "preview", "synth-digits", "--out", "p.png"},
                 2,
                 R"(--out: p\.png exists; use --overwrite or another name)"},
                "p.png", "precious"),
  });
}
