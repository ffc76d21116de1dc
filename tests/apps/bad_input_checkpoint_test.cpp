// Checkpoints that cannot be used, and machines that are too small.
#include <cmath>
#include <fstream>

#include "tests/support/checkpoints.h"
#include "tests/support/sample_files.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// A checkpoint of lenet5 as `train` writes it, after `change`.
std::string checkpoint(const std::function<void(RawCheckpoint&)>& change = {}) {
  Dataset data;
  data.name = "mnist";
  for (int i = 0; i < 10; ++i) data.class_names.push_back(std::to_string(i));
  TrainSetup setup;
  setup.model = "lenet5";
  RawCheckpoint c = raw_of(*make_model(setup.model, setup.input, setup.batch_norm), setup, data);
  if (change) change(c);
  TemporaryFolder folder;
  write_raw((folder / "c.safetensors").string(), c);
  return bytes_of(folder / "c.safetensors");
}

BadInput eval(const std::string& name, const std::string& file, const std::string& message) {
  auto prepare = [=](const fs::path& folder) {
    put_mnist(folder / "data/mnist");
    put(folder / "c.safetensors", file);
  };
  return {name,
          prepare,
          {"eval", "--checkpoint", "c.safetensors", "--out", "out"},
          6,
          "c\\.safetensors: " + message};
}
// With another value in the metadata.
BadInput eval(const std::string& name, const char* key, const Json& value, const std::string& message) {
  return eval(name, checkpoint([&](RawCheckpoint& c) { c.meta[key] = value; }), message);
}
// A good checkpoint on data that `prepare` makes.
BadInput use(const std::string& name, const std::function<void(const fs::path&)>& prepare,
             const std::vector<std::string>& command, int exit_code, const std::string& message) {
  auto all = [=](const fs::path& folder) {
    put(folder / "c.safetensors", checkpoint());
    prepare(folder);
  };
  return {name, all, command, exit_code, message};
}

}  // namespace

TEST_CASE("a file that is no usable checkpoint is refused", "[bad_input]") {
  std::string good = checkpoint(), altered = good, header = good;
  altered[good.size() - 5] = static_cast<char>(altered[good.size() - 5] ^ 1);
  header[20] = '\x01';
  SafeTensors foreign;
  foreign.tensors.emplace("weight", Tensor::zeros({2, 2}));
  check_all_refused({
      {"no flag", {}, {"eval"}, 2, "eval: --checkpoint is required: .*"},
      {"no file",
       {},
       {"eval", "--checkpoint", "c.safetensors"},
       4,
       R"(c\.safetensors: cannot open: No such file or directory)"},
      {"a folder",
       [](auto& folder) { fs::create_directories(folder / "c"); },
       {"eval", "--checkpoint", "c"},
       6,
       "c: expected a regular file"},
      eval("an empty file", "", "0 bytes are too few for a safetensors file"),
      eval("a text", "import torch\nmodel = torch.load('model.pt')\n",
           R"(at byte 0: header of \d{10,} bytes, expected at most 8388608)"),
      eval("cut in the middle", good.substr(0, good.size() / 2),
           R"(tensor "[a-z0-9_.]+": ends at offset \d+, but the data has \d+ bytes)"),
      eval("without its last byte", good.substr(0, good.size() - 1),
           R"(tensor "[a-z0-9_.]+": ends at offset \d+, but the data has \d+ bytes)"),
      eval("one byte more", good + "x", R"(the tensors end at offset \d+, but the data has \d+ bytes)"),
      eval("cut within its header", good.substr(0, 100),
           R"(at byte 0: header of \d+ bytes, but the file has 100 bytes)"),
      eval("an altered bit of a weight", altered,
           "the content was altered: sha256 [0-9a-f]{16}, expected [0-9a-f]{16}"),
      eval("an altered header", header, "at byte 2\\d: the header is not valid JSON"),
      eval("of other software", serialize_safetensors(foreign),
           "the file has no sigma metadata: it is not a checkpoint of sigma"),
  });
}

TEST_CASE("a checkpoint whose content contradicts itself is refused", "[bad_input]") {
  auto change = [](const std::function<void(RawCheckpoint&)>& fn) { return checkpoint(fn); };
  check_all_refused({
      eval("an unknown network", "model", "alexnet",
           "metadata: model: unknown name \"alexnet\", expected one of .*"),
      eval("a network of another shape", "model", "mlp",
           R"(load_state_dict: .*fc1\.weight has shape \(120, 400\), expected \(512, 784\).*)"),
      eval("no input size", "input", Json::array({1, 28}), "metadata: expected input of 3 sizes, got 2"),
      eval("an input of another size", "input", Json::array({1, 32, 32}),
           R"(load_state_dict: .*fc1\.weight has shape \(120, 400\), expected \(120, 576\))"),
      eval("a text for the input size", "input", "large", "metadata: .*"),
      eval("no classes", "classes", Json::array(), "metadata: classes: expected at least 2 classes, got 0"),
      eval("a number of means", "mean", Json::array({0.1, 0.2}),
           "metadata: expected 1 or 1 means and deviations, got 2"),
      eval("a deviation of 0", "std", Json::array({0.0}),
           R"(metadata: expected deviations above 0, got 0(\.0)?)"),
      eval("a deviation that is none", "std", Json::array({Json()}), "metadata: .*"),
      eval("no model", change([](auto& c) { c.meta.erase("model"); }), "metadata: .*model.*"),
      eval("a missing tensor", change([](auto& c) { c.content.tensors.erase(c.content.tensors.begin()); }),
           R"(load_state_dict: .*missing bn1\.bias)"),
      eval("a tensor too many",
           change([](auto& c) { c.content.tensors.emplace("extra", Tensor::zeros({2})); }),
           "load_state_dict: .*unknown extra"),
      eval("a tensor of another shape",
           change([](auto& c) { c.content.tensors.begin()->second = Tensor::zeros({3}); }),
           R"(load_state_dict: .*bn1\.bias has shape \(3\), expected \(6\))"),
  });
}

// Everything that a file can declare is checked before it is used: none of these was refused before, but for
// the first, which took 23 GB of memory to compare the shapes.
TEST_CASE("what a checkpoint cannot hold is refused by eval", "[bad_input][regression]") {
  auto change = [](const std::function<void(RawCheckpoint&)>& fn) { return checkpoint(fn); };
  auto fill = [&](const char* name, double value) {
    return change([=](RawCheckpoint& c) {
      Tensor t = c.content.tensors.at(name).clone();
      if (t.dtype() == DType::int64)
        t.mutable_data<int64_t>()[0] = static_cast<int64_t>(value);
      else
        t.mutable_data<float>()[t.numel() - 1] = static_cast<float>(value);
      c.content.tensors[name] = t;
    });
  };
  auto classes = [](const std::string& last) {
    Json names = Json::array({"0", "1", "2", "3", "4", "5", "6", "7", "8"});
    names.push_back(last);
    return names;
  };
  const std::string meta = "metadata: ";
  check_all_refused({
      eval(
          "an input that would take gigabytes", "input", Json::array({1, 2000, 2000}),
          R"(the metadata declare a lenet5 for images of 1x2000x2000 and 10 classes, which has more weights )"
          R"(than the \d+ bytes that are there)"),
      eval("an input beyond all files", "input", Json::array({1, 1000000, 1000000}),
           meta + "expected an input of 1 to 16384 pixels a side, got 1000000"),
      eval("an input of too many values", "input", Json::array({3, 16384, 16384}),
           meta + "expected an input of at most 16777216 values, got 3x16384x16384"),
      eval("an input of no pixels", "input", Json::array({1, 0, 28}), meta + "expected an input of 1 to .*"),
      eval("two channels", "input", Json::array({2, 28, 28}),
           meta + "expected input of 1 or 3 channels, got 2"),
      eval("a fractional input", "input", Json::array({1, 28.5, 28}), meta + ".*input.*"),
      eval("an unknown normalization", "normalize", "garbage",
           meta + "normalize: unknown kind \"garbage\", expected one of none, .*"),
      eval("a mean that is none", "mean", Json::array({"x"}), meta + ".*mean.*"),
      eval("equal names", "classes", classes("0"), meta + "classes: the name \"0\" is there twice"),
      eval("a name that writes on the terminal", "classes", classes("\x1b[31mred"),
           meta + R"(classes: expected names in UTF-8 without control characters, got "\\x1b\[31mred")"),
      eval("a nameless class", "classes", classes(""), meta + "classes: expected names .*"),
      eval("one class", "classes", Json::array({"a"}), meta + "classes: expected at least 2 classes, got 1"),
      eval("a number as model", "model", 5, meta + ".*model.*"),
      eval("a text as batch_norm", "batch_norm", "yes", meta + ".*batch_norm.*"),
      eval("a whitening that is missing", "normalize", "zca", meta + ".*whitening.*"),
      eval("a rank of 0", "factors", Json::parse(R"([{"layer":"fc1","scheme":"linear","rank":0}])"),
           meta + ".*rank.*"),
      eval("a rank of gigabytes", "factors",
           Json::parse(R"([{"layer":"fc1","scheme":"linear","rank":2000000000}])"), ".*rank of 1 to .*"),
      eval("a weight that is no number", fill("fc1.weight", NAN),
           R"(fc1\.weight holds values that are not finite)"),
      eval("an infinite mean", fill("bn1.running_mean", INFINITY),
           R"(bn1\.running_mean holds values that are not finite)"),
      eval("a variance below 0", fill("bn2.running_var", -1),
           R"(bn2\.running_var: expected at least 0, got -1.*)"),
      eval("a count below 0", fill("bn2.num_batches_tracked", -3),
           R"(bn2\.num_batches_tracked: expected at least 0, got -3.*)"),
      eval("weights of bytes", change([](RawCheckpoint& c) {
             c.content.tensors["fc1.bias"] = Tensor::zeros({120}, DType::uint8);
           }),
           R"(fc1\.bias: expected float32, got uint8)"),
      eval("momentum of no run", change([](RawCheckpoint& c) {
             c.content.tensors["optim.velocity.fc1.bias"] = Tensor::zeros({120});
           }),
           R"(optim\.velocity\.fc1\.bias is of a run, but the metadata have no progress)"),
      eval("progress that is none", "progress", "half", ".*progress.*"),
  });
}

TEST_CASE("a checkpoint cannot make a program allocate more than a small multiple of its size",
          "[bad_input][regression]") {
  if (kSanitized) return skip("the sanitizer reserves terabytes of addresses");
  for (const char* model : {"lenet5", "mlp", "cnn", "vgg"}) {
    INFO(model);
    TemporaryFolder folder;
    std::string path = (folder / "c.safetensors").string();
    put(path, checkpoint([&](RawCheckpoint& c) {
          c.meta["model"] = model;
          c.meta["input"] = {1, 4000, 4000};
        }));
    for (const char* verb : {"eval", "predict", "spectrum"}) {
      RunResult r = run({"bash", "-c", "ulimit -v 1500000; exec \"$@\"", "bash", SIGMA_BINARY, verb,
                         "--checkpoint", path, std::string(verb) == "predict" ? path : "--quiet"});
      INFO(verb << " " << r.err);
      CHECK(r.exit_code == 6);
      CHECK(r.err.find("which has more weights than the") != std::string::npos);
    }
  }
}

TEST_CASE("data that do not match a checkpoint are refused", "[bad_input]") {
  auto grey = [](uint32_t side) { return png(side, side, 0, some_pixels(size_t{side} * side)); };
  check_all_refused({
      use(
          "colour", [](auto& folder) { put_cifar10(folder / "data/cifar-10-batches-bin"); },
          {"eval", "--checkpoint", "c.safetensors", "--data", "cifar10"}, 2,
          "--data: cifar10 has images of 3x32x32, the checkpoint expects 1x28x28"),
      use(
          "two classes",
          [=](auto& folder) {
            for (auto path : {"train/a/1.png", "train/b/1.png", "test/a/1.png"}) put(folder / path, grey(28));
          },
          {"eval", "--checkpoint", "c.safetensors", "--data", "folder:."}, 2,
          R"(--data: folder:\. has 2 classes, the checkpoint expects 10)"),
      use(
          "no data", [](auto&) {}, {"eval", "--checkpoint", "c.safetensors"}, 4,
          ".*/data/mnist/train-images-idx3-ubyte: neither this file nor .*"),
      use(
          "no image named", [](auto&) {}, {"predict", "--checkpoint", "c.safetensors"}, 2,
          "predict: expected images: .*"),
  });
}

TEST_CASE("a step that does not fit in memory is refused before it starts", "[bad_input]") {
  std::ifstream info("/proc/meminfo");
  for (std::string word; info >> word;)
    if (word == "MemTotal:") break;
  uint64_t total = 0;
  info >> total;
  if (total > (uint64_t{180} << 20)) return skip("this machine has the 180 GiB that the test asks for");
  check_refused({"a large batch of a deep network",
                 [](const fs::path& folder) { put_mnist(folder / "data/mnist", 20000); },
                 {"train", "--quiet", "--batch-size", "60000", "--model", "resnet110", "--data", "mnist",
                  "--out", "{folder}/out"},
                 7,
                 R"(memory: a step of resnet110 with a batch of \d+ needs about \d{3}\.\d GB, )"
                 R"(\d+\.\d GB are available)"});
}

TEST_CASE("a full disk ends a run and leaves its checkpoints good", "[bad_input]") {
  TemporaryFolder folder;
  std::string out = (folder / "out").string(), data = (folder / "data").string();
  put_mnist(folder / "data/mnist");
  std::vector<std::string> flags{"train", "--quiet",     "--threads", "1",      "--model",    "mlp", "--data",
                                 "mnist", "--max-steps", "2",         "--json", "--data-dir", data,  "--out"};
  auto with = [](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  // No file may grow beyond 8 KiB: the weights do not fit, everything before them does.
  auto limited = [&](const std::vector<std::string>& arguments) {
    return run(with({"bash", "-c", "ulimit -f 8; exec \"$@\"", "bash", SIGMA_BINARY}, arguments), {}, 600);
  };
  auto check_failed = [](const RunResult& r) {
    INFO(r.err);
    CHECK(r.exit_code == 4);
    CHECK(r.err.rfind("error: ", 0) == 0);
    CHECK(r.err.find("last.safetensors: cannot write: File too large") != std::string::npos);
    CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  };
  auto no_temporary_files = [](const fs::path& where) {
    for (auto& entry : fs::recursive_directory_iterator(where))
      CHECK(entry.path().filename().string().find(".tmp") == std::string::npos);
  };

  std::string fresh = (folder / "fresh").string();
  check_failed(limited(with(flags, {fresh})));
  no_temporary_files(fresh);
  CHECK(fs::is_empty(fs::path(fresh) / "weights"));

  RunResult whole = run_sigma(with(flags, {out}));
  INFO(whole.err);
  REQUIRE(whole.exit_code == 0);
  std::string last = out + "/weights/last.safetensors", best = out + "/weights/best.safetensors";
  std::string last_bytes = bytes_of(last), best_bytes = bytes_of(best);
  check_failed(limited({"train", "--quiet", "--resume", "--out", out}));
  no_temporary_files(out);
  CHECK(bytes_of(last) == last_bytes);
  CHECK(bytes_of(best) == best_bytes);
  RunResult r = run_sigma({"eval", "--checkpoint", last, "--data-dir", data, "--json", "--quiet"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(Json::parse(r.out).at("test_accuracy") == Json::parse(whole.out).at("test_accuracy"));
  RunResult resumed = run_sigma({"train", "--quiet", "--resume", "--out", out});
  CHECK(resumed.exit_code == 0);

  RunResult compared = limited({"compare", "--quiet", "--threads", "1", "--data", "mnist", "--data-dir", data,
                                "--max-steps", "2", "--seeds", "1", "--out", (folder / "compare").string()});
  INFO(compared.err);
  CHECK(compared.exit_code == 4);
  CHECK(compared.err.find("error: ") != std::string::npos);
  CHECK(compared.err.find("File too large") != std::string::npos);
}
