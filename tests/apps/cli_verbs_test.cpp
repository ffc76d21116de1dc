// eval, predict, summary, gradcheck, bench, data and env: what they print and that it is consistent.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "apps/report/canvas.h"
#include "apps/training/checkpoint.h"
#include "core/kernels/simd.h"
#include "core/linalg.h"
#include "core/math.h"
#include "core/rng.h"
#include "data/formats/image.h"
#include "tests/support/runs.h"
#include "tests/support/sample_files.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// A network trained just enough that its predictions differ from image to image.
struct TrainedRun {
  TemporaryFolder folder;
  Json summary;
  std::string checkpoint;
  TrainedRun(const Arguments& more, const char* data) {
    fs::path run = folder / "run";
    RunResult r =
        run_sigma(Arguments{"train", "--data", data, "--limit-train", "400", "--limit-test", "60",
                            "--batch-size", "40", "--epochs", "3", "--quiet", "--out", run.string()} +
                  more);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    summary = read_json(run / "summary.json");
    checkpoint = (run / "weights/last.safetensors").string();
  }
};

std::string write_image(const fs::path& path, const Split& split, int64_t index) {
  int64_t c = split.images.dim(1), h = split.images.dim(2), w = split.images.dim(3);
  const uint8_t* p = split.images.data<uint8_t>() + index * c * h * w;
  write_file_atomic(path.string(), png_bytes({h, w, c, Bytes(p, p + c * h * w)}));
  return path.string();
}

}  // namespace

TEST_CASE("eval and predict agree with the training run, in grey and in colour", "[cli]") {
  struct Case {
    Arguments flags;
    const char* data;
  };
  const Case cases[] = {
      {{"--model", "lenet5"}, "synth-digits"},
      {{"--model", "mlp", "--normalize", "none", "--batch-norm", "off", "--lr", "1e-5"}, "synth-digits"},
      {{"--model", "lenet5", "--normalize", "unit", "--std", "0.5,0.25,0.125"}, "synth-objects"}};
  for (const Case& c : cases) {
    INFO(c.flags[1] << " " << c.data);
    TrainedRun run(c.flags, c.data);
    RunResult r =
        run_sigma({"eval", "--checkpoint", run.checkpoint, "--limit-test", "60", "--json", "--threads", "1"});
    REQUIRE(r.exit_code == 0);
    Json e = last_line_json(r.out);
    CHECK(e["test_accuracy"] == run.summary["test_accuracy"]);  // exactly
    CHECK(e["test_loss"] == run.summary["test_loss"]);
    CHECK(e["images"] == 60);
    CHECK(contains(r.out, "confusion matrix"));

    Dataset data = load_dataset(c.data, {"", 1, 60});
    Arguments command{"predict", "--checkpoint", run.checkpoint, "--json"};
    for (int64_t i = 0; i < 60; ++i)
      command.push_back(write_image(run.folder / (std::to_string(i) + ".png"), data.test, i));
    r = run_sigma(command);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(count_of(r.out, "\n") == 61);  // a line an image
    Json p = last_line_json(r.out).at("predictions");
    REQUIRE(p.size() == 60);
    auto confusion = std::vector<std::vector<int>>(10, std::vector<int>(10, 0));
    for (size_t i = 0; i < 60; ++i) {
      CHECK(p[i]["image"] == command[4 + i]);
      const Json& top = p[i]["top"];
      REQUIRE(top.size() == 3);
      double sum = 0;
      for (size_t k = 0; k < 3; ++k) {
        double share = top[k]["probability"];
        sum += share;
        if (k) CHECK(share <= top[k - 1]["probability"].get<double>());
      }
      CHECK(sum <= 1 + 1e-9);
      size_t guess = 0;
      while (data.class_names[guess] != top[0]["class"].get<std::string>()) ++guess;
      ++confusion[static_cast<size_t>(data.test.labels.data<int64_t>()[i])][guess];
    }
    CHECK(Json(confusion) == e["confusion"]);
  }
}

TEST_CASE("eval and predict refuse what does not fit the checkpoint", "[cli]") {
  TrainedRun run({"--model", "sigmoid-mlp"}, "synth-digits");
  RunResult r =
      run_sigma({"eval", "--checkpoint", run.checkpoint, "--data", "synth-objects", "--limit-test", "10"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "synth-objects has images of 3x32x32, the checkpoint expects 1x28x28"));
  r = run_sigma({"eval", "--checkpoint", (run.folder / "none.safetensors").string()});
  CHECK(r.exit_code == 4);
  CHECK(contains(r.err, "none.safetensors"));
  r = run_sigma({"eval"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "--checkpoint"));
  Dataset objects = make_synth_objects(1, 1);
  std::string wide = write_image(run.folder / "wide.png", objects.test, 0);
  r = run_sigma({"predict", "--checkpoint", run.checkpoint, wide});
  CHECK(r.exit_code == 3);
  CHECK(contains(r.err, "wide.png: 32x32 pixels, the checkpoint expects 28x28"));
  CHECK(r.out.empty());
  write_file_atomic((run.folder / "text.png").string(), "no image");
  r = run_sigma({"predict", "--checkpoint", run.checkpoint, (run.folder / "text.png").string()});
  CHECK(r.exit_code == 3);
  CHECK(contains(r.err, "text.png"));
  // A colour image of the right size goes into a grey network by its luma.
  Image grey{28, 28, 1, Bytes(784)}, colour{28, 28, 3, Bytes(3 * 784)};
  for (size_t i = 0; i < 784; ++i)
    for (size_t k = 0; k < 3; ++k)
      grey.pixels[i] = colour.pixels[3 * i + k] = static_cast<uint8_t>(i * 7 % 256);
  write_file_atomic((run.folder / "grey.png").string(), png_bytes(grey));
  write_file_atomic((run.folder / "colour.png").string(), png_bytes(colour));
  r = run_sigma({"predict", "--quiet", "--json", "--checkpoint", run.checkpoint,
                 (run.folder / "grey.png").string(), (run.folder / "colour.png").string()});
  REQUIRE(r.exit_code == 0);
  Json p = last_line_json(r.out)["predictions"];
  CHECK(p[0]["top"] == p[1]["top"]);
}

TEST_CASE("eval writes a confusion matrix as a picture", "[cli]") {
  TrainedRun run({"--model", "sigmoid-mlp"}, "synth-digits");
  fs::path out = run.folder / "pictures";
  RunResult r = run_sigma(
      {"eval", "--checkpoint", run.checkpoint, "--limit-test", "20", "--out", out.string(), "--quiet"});
  CHECK(r.exit_code == 0);
  CHECK((r.out + r.err).empty());
  CHECK(read_image((out / "confusion.png").string()).width >= 300);
}

TEST_CASE("summary has the documented parameters and multiply-accumulates", "[cli]") {
  struct Case {
    const char* model;
    int64_t parameters;
    double macs, tolerance;  // as printed in the table, in millions
  };
  const Case cases[] = {{"mlp", 671754, .67, .005},   {"sigmoid-mlp", 100310, 0, 0},
                        {"lenet5", 62158, 0, 0},      {"cnn", 422090, 4.24, .005},
                        {"vgg", 1188170, 152.8, .05}, {"resnet20", 272474, 41, .5}};
  for (const Case& c : cases) {
    INFO(c.model);
    RunResult r = run_sigma({"summary", "--model", c.model, "--json"});
    REQUIRE(r.exit_code == 0);
    Json s = last_line_json(r.out);
    CHECK(s["parameters"] == c.parameters);
    if (c.macs > 0) CHECK(std::abs(s["macs"].get<double>() / 1e6 - c.macs) <= c.tolerance);
    int64_t parameters = 0, macs = 0;
    for (const Json& layer : s["layers"]) {
      parameters += layer["parameters"].get<int64_t>(), macs += layer["macs"].get<int64_t>();
      CHECK(contains(r.out, layer["layer"].get<std::string>()));
      CHECK(contains(r.out, layer["shape"].get<std::string>()));
    }
    CHECK(parameters == c.parameters);
    CHECK(macs == s["macs"]);
  }
  // Batch norm costs no multiply-accumulates; the input follows the data.
  Json on = last_line_json(run_sigma({"summary", "--model", "cnn", "--json", "--quiet"}).out),
       off = last_line_json(
           run_sigma({"summary", "--model", "cnn", "--batch-norm", "off", "--json", "--quiet"}).out),
       colour = last_line_json(
           run_sigma({"summary", "--model", "cnn", "--data", "synth-objects", "--json", "--quiet"}).out);
  CHECK(on["macs"] == off["macs"]);
  CHECK(on["parameters"].get<int64_t>() - off["parameters"].get<int64_t>() == 2 * (32 + 64 + 128));
  CHECK(colour["layers"][0]["shape"] == "(1, 32, 32, 32)");
  RunResult r = run_sigma({"summary", "--model", "resnet21"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "resnet20"));
}

TEST_CASE("gradcheck checks one layer or says which there are", "[cli]") {
  for (const char* layer : {"BatchNorm2d", "CrossEntropyLoss", "MaxPool2d"}) {
    INFO(layer);
    RunResult r = run_sigma({"gradcheck", "--layer", layer, "--json"});
    CHECK(r.exit_code == 0);
    CHECK(contains(r.out, "all pass"));
    Json j = last_line_json(r.out);
    CHECK(j["passed"] == true);
    REQUIRE(!j["examples"].empty());
    for (const Json& row : j["examples"]) {
      CHECK(row["layer"] == layer);
      CHECK(row["passed"] == true);
      CHECK(row["checked"] > 0);
      CHECK(row["max_error"] < 1e-5);
    }
  }
  RunResult r = run_sigma({"gradcheck", "--layer", "BatchNorm2"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "did you mean BatchNorm"));
}

TEST_CASE("bench prints one object with the documented keys", "[cli]") {
  for (const char* what : {"train", "infer"}) {
    INFO(what);
    RunResult r = run_sigma({"bench", what, "--model", "lenet5", "--batch-size", "16", "--threads", "1",
                             "--precision", "f32", "--batch-norm", "on", "--seconds", "0.2", "--json"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(count_of(r.out, "\n") == 1);
    Json j = last_line_json(r.out);
    for (const char* key : {"images_per_s", "ms_per_step", "gflops", "peak_rss_mb"})
      CHECK(j.at(key).get<double>() > 0);
    CHECK(j["images_per_s"].get<double>() * j["ms_per_step"].get<double>() == Approx(16e3).epsilon(.02));
    CHECK(j["threads"] == 1);
    CHECK(j["precision"] == "f32");
    CHECK(j["simd"] == kernels::simd_name());
    CHECK(!j["blas_core"].get<std::string>().empty());
  }
  for (const char* precision : {"f32", "bf16"}) {
    RunResult r = run_sigma({"bench", "kernels", "--batch-size", "2", "--threads", "1", "--seconds", "0.1",
                             "--precision", precision, "--json"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    Json j = last_line_json(r.out);
    CHECK(j["precision"] == precision);
    CHECK(j["peak_gflops"].get<double>() > 0.1);
    CHECK(j["peak_gbytes_per_s"].get<double>() > 0.1);
    CHECK(j["kernels"].size() >= 90);
    for (const Json& k : j["kernels"]) {
      CHECK(!k["kernel"].get<std::string>().empty());
      for (const char* key : {"ms", "gflops", "share_of_peak", "bytes", "gbytes_per_s", "share_of_bandwidth"})
        CHECK(k.at(key).get<double>() > 0);
    }
  }
  RunResult timed = run_sigma({"bench", "svd", "--seconds", "0.1", "--threads", "1", "--json"});
  INFO(timed.err);
  REQUIRE(timed.exit_code == 0);
  Json sizes = last_line_json(timed.out)["svd"];
  REQUIRE(sizes.size() == 3);
  for (const Json& row : sizes) {
    CHECK(row["ms"].get<double>() > 0);
    for (const char* key : {"residual", "u_orthogonality", "vh_orthogonality"}) {
      CHECK(row[key].get<double>() > 0);
      CHECK(row[key].get<double>() < 35);
    }
  }
  CHECK(last_line_json(timed.out)["simd"] == kernels::simd_name());
  // LAPACK's ratios, in the 1-norm: the worst of the batch of 1000.
  Tensor a = Tensor::empty({1000, 16, 16}, DType::float64);
  Rng rng(0, "bench svd");
  for (int64_t i = 0; i < a.numel(); ++i) a.mutable_data<double>()[i] = rng.next_normal();
  Svd d = svd(a);
  auto norms = [](const Tensor& t) { return matrix_norm(t, MatrixNorm::one).to_vector(); };
  Tensor one = Tensor::zeros({16, 16}, DType::float64);
  for (int64_t i = 0; i < 16; ++i) one.mutable_data<double>()[i * 17] = 1;
  std::vector<double> size = norms(a),
                      off = norms(sub(a, matmul(mul(d.u, d.s.reshape({1000, 1, 16})), d.vh))),
                      u = norms(sub(matmul(transpose(d.u, 1, 2), d.u), one));
  for (size_t i = 0; i < off.size(); ++i) off[i] /= size[i];
  const double unit = 16 * std::numeric_limits<double>::epsilon();
  CHECK(sizes[1]["residual"].get<double>() == Approx(*std::max_element(off.begin(), off.end()) / unit));
  CHECK(sizes[1]["u_orthogonality"].get<double>() == Approx(*std::max_element(u.begin(), u.end()) / unit));
  timed = run_sigma({"bench", "svd", "--seconds", "0.1", "--threads", "1"});
  CHECK(timed.out.rfind(fmt::format("1 threads, {}, BLAS ", kernels::simd_name()), 0) == 0);
  CHECK(count_of(timed.out, "\n") == 4);
  CHECK(run_sigma({"bench", "train", "--seconds", "-1"}).exit_code == 2);
  CHECK(run_sigma({"bench", "train", "--precision", "f64"}).exit_code == 2);
  CHECK(run_sigma({"bench", "fly"}).exit_code == 2);
}

TEST_CASE("env and data list describe the machine and the data", "[cli]") {
  Json env = last_line_json(run_sigma({"env", "--json", "--threads", "2"}).out);
  CHECK(env["threads"] == 2);
  for (const char* key : {"version", "cpu", "simd", "blas", "blas_core"})
    CHECK(!env.at(key).get<std::string>().empty());
  CHECK(env["blas_self_test"] == true);
  RunResult r = run_sigma({"env"});
  for (auto& [key, value] : env.items()) CHECK(contains(r.out, key));
  CHECK(run_sigma({"--version"}).out == "sigma " + env["version"].get<std::string>() + "\n");
  TemporaryFolder folder;
  Json list = last_line_json(
      run_sigma({"data", "list", "--json", "--data-dir", folder.path().string()}).out)["data_sets"];
  std::string names;
  for (const Json& row : list) {
    std::string name = row["name"];
    names += name + " ";
    CHECK(row["here"] == (name.rfind("synth-", 0) == 0));
  }
  CHECK(names == "mnist fashion-mnist kmnist cifar10 cifar100 synth-digits synth-objects folder:PATH ");
  Dataset digits = make_synth_digits(24, 6);
  for (auto [part, split] :
       {std::pair<const char*, const Split*>{"train", &digits.train}, {"test", &digits.test}})
    for (int64_t i = 0; i < split->size(); ++i) {
      fs::path where = folder / "set" / part / (i % 2 ? "odd" : "even");
      fs::create_directories(where);
      write_image(where / (std::to_string(i) + ".png"), *split, i);
    }
  std::string sheet = (folder / "sheet.png").string(), set = "folder:" + (folder / "set").string();
  r = run_sigma({"data", "preview", set, "--out", sheet});
  CHECK(r.exit_code == 0);
  CHECK(r.out == sheet + "\n");
  // Images of 28 pixels twice as large, six a panel: 24 more between the panels.
  const int64_t panel = 6 * (2 * 28 + 4) + 24;
  CHECK(read_image(sheet).width == 130 + 3 * panel);
  r = run_sigma({"data", "preview", set, "--out", sheet, "--overwrite", "--no-whiten"});
  CHECK(r.exit_code == 0);
  CHECK(read_image(sheet).width == 130 + 2 * panel);
  // Titles are wider than panels of small images, and of those of 33 pixels, which are not enlarged.
  const double title = make_png(1, 1, 1)->text_width("standard: 0 is grey, +-3 white and black", 12);
  for (auto [width, height] : {std::pair<uint32_t, uint32_t>{8, 6}, {33, 4}}) {
    fs::path small = folder / std::to_string(width);
    put_image_folder(small, width, height);
    REQUIRE(title > 6. * (width == 33 ? 33 + 4 : 2 * width + 4));
    for (int panels : {2, 3}) {
      Arguments command{"data", "preview", "folder:" + small.string(), "--out", sheet, "--overwrite"};
      r = run_sigma(panels == 2 ? command + Arguments{"--no-whiten"} : command);
      INFO(r.err);
      REQUIRE(r.exit_code == 0);
      // The third title may be the widest.
      if (panels == 2) CHECK(read_image(sheet).width == 130 + 2 * (std::ceil(title) + 24));
      if (panels == 3) CHECK(read_image(sheet).width >= 130 + 3 * (std::ceil(title) + 24));
    }
  }
  CHECK(run_sigma({"data", "preview", set, "--out", sheet}).exit_code == 2);
  CHECK(contains(run_sigma({"data", "verify", "mnist", "--no-whiten"}).err, "unknown flag --no-whiten"));
  r = run_sigma({"data", "verify", "mnist", "--data-dir", folder.path().string()});
  CHECK(r.exit_code == 3);
  CHECK(contains(r.out, "train-images-idx3-ubyte"));
}

TEST_CASE("usage errors name the flag and its nearest known one", "[cli]") {
  const std::pair<Arguments, const char*> cases[] = {
      {{"train", "--epcohs", "3"}, "did you mean --epochs?"},
      {{"train", "--batch-size", "0"}, "--batch-size: expected at least 1, got 0"},
      {{"train", "--batch-norm", "maybe"}, "--batch-norm"},
      {{"train", "--batch-norm", "on,off"}, "lists are for compare"},
      {{"train", "--threads", "65"}, "--threads"},
      {{"train", "--schedule", "sine"}, "sine"},
      {{"train", "--augment", "spin"}, "spin"},
      {{"compare", "--lr", "0.1,0.1"}, "listed twice"},
      {{"compare", "--normalize", "unit,"}, "--normalize"},
      {{"compare", "--histogram-layer", "bn9", "--limit-train", "10", "--limit-test", "10"}, "bn1"},
      {{"summary", "--model", "alexnet"}, "alexnet"},
      {{"fly"}, "unknown verb \"fly\""},
      {{"trian"}, "did you mean train?"},
      {{}, "expected one of train, compare"}};
  TemporaryFolder folder;
  for (auto& [arguments, message] : cases) {
    RunResult r = run_sigma_in(folder.path(), arguments);
    INFO(message << ": " << r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, message));
    CHECK(r.err.rfind("error: ", 0) == 0);
    CHECK(count_of(r.err, "\n") == 1);
    CHECK(r.out.empty());
  }
  CHECK(fs::is_empty(folder.path()));
  for (const char* verb : {"train", "compare", "eval", "compress", "predict", "summary", "gradcheck", "data",
                           "bench", "spectrum", "env"}) {
    RunResult r = run_sigma({verb, "--help"});
    CHECK(r.exit_code == 0);
    CHECK(contains(r.out, "--help"));
  }
}
