// sigma spectrum: table, CSV, JSON and picture agree with each other and with the weights in the checkpoint.
#include <cmath>

#include "apps/report/spectrum.h"
#include "apps/training/checkpoint.h"
#include "core/linalg.h"
#include "core/math.h"
#include "data/formats/image.h"
#include "layers/layers.h"
#include "tests/support/checkpoints.h"
#include "tests/support/runs.h"
#include "tests/support/sample_files.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// A checkpoint whose batch norms have statistics and scales of their own, as after training.
std::string write_checkpoint(const fs::path& path, const std::string& name, bool batch_norm,
                             uint64_t seed = 1, const std::function<void(Module&)>& change = {}) {
  Dataset data;
  ModelInput input = default_input(name);
  data.name = input.channels == 1 ? "synth-digits" : "synth-objects";
  data.class_names = make_synth_digits(1, 1).class_names;
  if (input.channels == 3) data.class_names = make_synth_objects(1, 1).class_names;
  TrainSetup setup;
  setup.model = name, setup.input = input, setup.batch_norm = batch_norm;
  ModulePtr model = make_model(name, input, batch_norm, seed);
  model->visit([&](const std::string&, Module& m) {
    auto* norm = layer_as<BatchNorm>(&m);
    if (!norm) return;
    Rng rng(seed, "scales");
    for (int64_t c = 0; c < norm->channels(); ++c) {
      norm->weight.mutable_value().mutable_data<float>()[c] = static_cast<float>(rng.next_uniform(.5, 2));
      norm->running_var.mutable_value().mutable_data<float>()[c] =
          static_cast<float>(rng.next_uniform(.1, 2));
    }
  });
  if (change) change(*model);
  fs::create_directories(path.parent_path());
  write_raw(path.string(), raw_of(*model, setup, data));
  return path.string();
}

using Table = std::vector<std::vector<std::string>>;
std::string cell(const Table& t, size_t row, const std::string& column) {
  for (size_t i = 0; i < t[0].size(); ++i)
    if (t[0][i] == column) return t.at(row).at(i);
  FAIL("no column " << column);
  return "";
}
// A number of the CSV and the same of the JSON, where infinity is null.
bool agree(const std::string& text, const Json& value) {
  if (value.is_null()) return text == "inf";
  return std::fabs(std::stod(text) - value.get<double>()) <= 1e-9 * std::fabs(value.get<double>());
}

// The spectra of one layer: in the JSON, in row `row` of spectrum.csv and in the rows of singular_values.csv
// from `next` on, which moves behind them, they are those of the layer's weight in the network.
void check_layer(const Json& l, Module& network, const Table& csv, size_t row, const Table& all,
                 size_t& next) {
  const std::string path = l["layer"];
  auto* conv = layer_as<Conv2d>(network.find(path));
  Tensor weight = conv ? conv->weight.value() : layer_as<Linear>(network, path).weight.value();
  CHECK(l["shape"].size() == static_cast<size_t>(weight.rank()));
  CHECK(l["operator"].is_null() == !conv);
  CHECK(agree(cell(csv, row, "frobenius"), l["weight"]["frobenius"]));
  int64_t side = path == "conv1" ? 28 : 14;
  if (conv) CHECK(l["image"] == Json::array({side, side}));
  for (bool op : {false, true}) {
    if (op && !conv) continue;
    const Json& found = l[op ? "operator" : "weight"];
    Tensor want = op ? conv_singular_values(weight, side, side) : weight_singular_values(weight);
    std::vector<double> s = want.to_vector();
    CHECK(found["largest"].get<double>() == Approx(s.front()).epsilon(1e-9));
    CHECK(found["smallest"].get<double>() == Approx(s.back()).epsilon(1e-9));
    CHECK(found["condition"].get<double>() == Approx(s.front() / s.back()).epsilon(1e-9));
    CHECK(found["effective_rank"].get<double>() == Approx(effective_rank(want)).epsilon(1e-9));
    CHECK(found["values"] == s.size());
    for (const char* key : {"largest", "smallest", "condition", "effective_rank", "values"})
      CHECK(agree(cell(csv, row, std::string(op ? "operator_" : "") + key), found[key]));
    bool same = true;
    for (size_t k = 0; k < s.size(); ++k, ++next) {
      REQUIRE(next < all.size());
      same = same && all[next][1] == path && all[next][2] == (l["folded"] ? "true" : "false") &&
             all[next][3] == (op ? "operator" : "weight") && all[next][4] == std::to_string(k) &&
             std::fabs(std::stod(all[next][5]) - s[k]) <= 1e-9 * s[0];
    }
    CHECK(same);
  }
}

}  // namespace

TEST_CASE("spectrum writes the same numbers as a table, CSV, JSON and a picture", "[cli][spectrum]") {
  TemporaryFolder folder;
  std::string checkpoint = write_checkpoint(folder / "on/last.safetensors", "lenet5", true);
  RunResult r =
      run_sigma_in(folder.path(), {"spectrum", "--checkpoint", checkpoint, "--json", "--threads", "1"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  fs::path run = folder / "runs/spectrum";
  Json j = last_line_json(r.out);
  CHECK(j == read_json(run / "summary.json"));
  const Json& layers = j["checkpoints"][0]["layers"];
  CHECK(j["checkpoints"][0]["checkpoint"] == checkpoint);
  CHECK(j["checkpoints"][0]["batch_norm"] == true);
  // conv1, conv2, fc1 and fc2 have a norm behind them, fc3 has none.
  REQUIRE(layers.size() == 9);
  Table csv = read_csv(run / "spectrum.csv"), all = read_csv(run / "singular_values.csv");
  REQUIRE(csv.size() == 10);
  // Without activations their four cells are there and empty.
  CHECK(count_of(read_text(run / "spectrum.csv"), ",") == 10 * (csv[0].size() - 1));
  SavedModel trained = model_from(load_checkpoint(checkpoint), checkpoint),
             folded = model_from(load_checkpoint(checkpoint), checkpoint);
  fold_batch_norms(*folded.model);
  size_t next = 1;  // row of singular_values.csv
  for (size_t i = 0; i < layers.size(); ++i) {
    const Json& l = layers[i];
    std::string path = l["layer"];
    INFO(path << (l["folded"] ? " folded" : ""));
    CHECK(contains(r.out, path));
    CHECK(l["folded"] == (i % 2 == 1));
    CHECK(cell(csv, i + 1, "layer") == path);
    CHECK(cell(csv, i + 1, "label") == "last");
    CHECK(cell(csv, i + 1, "checkpoint") == checkpoint);
    CHECK(cell(csv, i + 1, "folded") == (l["folded"] ? "true" : "false"));
    check_layer(l, *(l["folded"] ? folded : trained).model, csv, i + 1, all, next);
  }
  CHECK(next == all.size());
  CHECK(read_image((run / "spectrum.png").string()).width >= 1000);
  std::string svg = read_text(run / "spectrum.svg");
  for (const char* text : {"as trained, batch norm on", "batch norm folded in", "conv1", "fc3"})
    CHECK(contains(svg, text));
  CHECK(read_json(run / "config.json")["checkpoint"] == Json::array({checkpoint}));

  // The bits do not depend on the threads; the next run takes another folder; --csv prints the file.
  r = run_sigma_in(folder.path(), {"spectrum", "--checkpoint", checkpoint, "--csv", "--threads", "3"});
  REQUIRE(r.exit_code == 0);
  CHECK(r.out == read_text(run / "spectrum.csv"));
  CHECK(read_text(folder / "runs/spectrum-2/singular_values.csv") == read_text(run / "singular_values.csv"));
  CHECK(read_text(folder / "runs/spectrum-2/spectrum.svg") == svg);
  r = run_sigma_in(folder.path(), {"spectrum", "--checkpoint", checkpoint, "--out", "runs/spectrum"});
  CHECK(r.exit_code == 2);
  r = run_sigma_in(folder.path(), {"spectrum", "--checkpoint", checkpoint, "--out", "runs/spectrum",
                                   "--overwrite", "--quiet"});
  CHECK(r.exit_code == 0);
  CHECK((r.out + r.err).empty());
}

TEST_CASE("spectrum puts several checkpoints side by side", "[cli][spectrum]") {
  TemporaryFolder folder;
  std::string on = write_checkpoint(folder / "on/weights/last.safetensors", "resnet20", true),
              off = write_checkpoint(folder / "off/weights/last.safetensors", "resnet20", false),
              other = write_checkpoint(folder / "other/weights/last.safetensors", "mlp", true, 2);
  RunResult r = run_sigma_in(
      folder.path(), {"spectrum", "--checkpoint", on, "--checkpoint", off, other, "--out", "here", "--json"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json j = last_line_json(r.out)["checkpoints"];
  REQUIRE(j.size() == 3);
  const char* labels[] = {"on", "off", "other"};
  const size_t rows[] = {2 * 21 + 1, 22, 2 * 2 + 1};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(j[i]["label"] == labels[i]);
    CHECK(j[i]["layers"].size() == rows[i]);
  }
  // Same seed, same weights: with the norm folded in the values change, as trained they are those of `off`.
  CHECK(j[0]["layers"][0]["operator"] == j[1]["layers"][0]["operator"]);
  CHECK(j[0]["layers"][1]["operator"] != j[1]["layers"][0]["operator"]);
  CHECK(contains(r.out, "on: resnet20 on synth-objects, 3x32x32, batch norm on"));
  CHECK(contains(r.out, "off: resnet20 on synth-objects, 3x32x32, batch norm off"));
  // The rows of one layer follow each other: on, on with the norm folded in, off.
  size_t a = r.out.find("layer1.0.conv1"), b = r.out.find("layer1.0.conv1", a + 1),
         c = r.out.find("layer1.0.conv1", b + 1), end = r.out.find("layer1.0.conv2");
  CHECK((a < b && b < c && c < end));
  CHECK(contains(r.out.substr(a, b - a), " on "));
  CHECK(contains(r.out.substr(b, c - b), " folded "));
  CHECK(contains(r.out.substr(c, end - c), " off "));
  std::string svg = read_text(folder / "here/spectrum.svg");
  for (const char* title :
       {"on: as trained, batch norm on", "on: batch norm folded in", "off: batch norm off",
        "other: as trained, batch norm on", "other: batch norm folded in"})
    CHECK(contains(svg, title));
  // Of the 22 layers of resnet20, in three panels, every fourth is named and the last.
  for (const char* named : {"conv1", "layer1.1.conv2", "fc"})
    CHECK(count_of(svg, fmt::format(">{}<", named)) == 3);
  for (const char* not_named : {"layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"})
    CHECK(count_of(svg, fmt::format(">{}<", not_named)) == 0);
  Table csv = read_csv(folder / "here/spectrum.csv");
  CHECK(csv.size() == 1 + rows[0] + rows[1] + rows[2]);
  // Label, layer and folded find the values of a row in the other file.
  Table values = read_csv(folder / "here/singular_values.csv");
  std::map<std::string, int64_t> counts;
  for (size_t i = 1; i < values.size(); ++i)
    if (cell(values, i, "kind") == "weight")
      ++counts[cell(values, i, "label") + " " + cell(values, i, "layer") + " " + cell(values, i, "folded")];
  CHECK(counts.size() == csv.size() - 1);
  for (size_t i = 1; i < csv.size(); ++i) {
    std::string key = cell(csv, i, "label") + " " + cell(csv, i, "layer") + " " + cell(csv, i, "folded");
    INFO(key);
    CHECK(std::to_string(counts[key]) == cell(csv, i, "values"));
  }

  CHECK(app::distinct_labels({"a/b/last.safetensors"}) == std::vector<std::string>{"last"});
  CHECK(app::distinct_labels({"x/a/w/last", "x/b/w/last"}) == std::vector<std::string>{"a", "b"});
  CHECK(app::distinct_labels({"w/best", "./w/last"}) == std::vector<std::string>{"best", "last"});
  CHECK(app::distinct_labels({"a/w", "a/b/w"}) == std::vector<std::string>{"a/w", "b"});
  CHECK(app::distinct_labels({"a/w", "a/a/w/w"}) == std::vector<std::string>{"a/w", "a/a/w/w"});
}

TEST_CASE("activations of a checkpoint have the rank of its weights", "[cli][spectrum]") {
  TemporaryFolder folder;
  // fc2 of rank 3 and 100 outputs: what comes out of it varies in three directions.
  auto narrow_fc2 = [](Module& m) {
    auto& fc2 = layer_as<Linear>(m, "fc2");
    LowRank d = low_rank(fc2.weight.value(), 3);
    fc2.weight.mutable_value().copy_(matmul(d.left, d.right));
  };
  std::string on = write_checkpoint(folder / "on.safetensors", "sigmoid-mlp", true, 1, narrow_fc2),
              off = write_checkpoint(folder / "off.safetensors", "sigmoid-mlp", false, 1, narrow_fc2);
  Arguments command{"spectrum", "--checkpoint", on, off, "--activations", "--json", "--out", "run"};
  RunResult r = run_sigma_in(folder.path(), command);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  Json j = last_line_json(r.out)["checkpoints"];
  Table csv = read_csv(folder / "run/spectrum.csv");
  size_t row = 1;
  for (const Json& network : j)
    for (const Json& l : network["layers"]) {
      INFO(network["label"] << " " << l["layer"] << (l["folded"] ? " folded" : ""));
      const Json& a = l["activations"];
      CHECK(a["samples"] == 800);  // 8 for each of 100 units
      CHECK(a["features"] == (l["layer"] == "fc4" ? 10 : 100));
      double rank = a["effective_rank"];
      CHECK(rank >= 1);
      if (l["layer"] == "fc2") {
        CHECK(rank <= 3.001);
        CHECK((a["condition"].is_null() || a["condition"].get<double>() > 1e11));
      }
      for (const char* key : {"condition", "effective_rank", "features", "samples"})
        CHECK(agree(cell(csv, row, std::string("activation_") + key), a[key]));
      ++row;
    }
  CHECK(contains(r.out, "samples"));
  // Fewer images, another data set.
  r = run_sigma_in(folder.path(), {"spectrum", "--checkpoint", on, "--activations", "--limit-test", "50",
                                   "--json", "--quiet", "--data", "synth-digits"});
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out)["checkpoints"][0]["layers"][0]["activations"]["samples"] == 50);
}

// A folder's images are sorted by class: the first of them would be of one class.
TEST_CASE("activations are of test images from the whole set", "[cli][spectrum]") {
  TemporaryFolder folder;
  std::string checkpoint = write_checkpoint(folder / "c.safetensors", "lenet5", false);
  const std::string one = png(28, 28, 0, some_pixels(28 * 28, 1)),
                    two = png(28, 28, 0, some_pixels(28 * 28, 2));
  put(folder / "set/train/a/0.png", one);
  put(folder / "set/train/b/0.png", two);
  for (int i = 0; i < 980; ++i) put(folder / fmt::format("set/test/a/{}.png", i), one);
  for (int i = 0; i < 20; ++i) put(folder / fmt::format("set/test/b/{}.png", i), two);
  for (auto [limit, samples] : {std::pair{"0", 960}, {"60", 60}}) {
    RunResult r =
        run_sigma_in(folder.path(), {"spectrum", "--checkpoint", checkpoint, "--activations", "--data",
                                     "folder:set", "--limit-test", limit, "--json", "--quiet"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    // Two pictures, hence one direction; none if all came from one class. 960: 8 a unit of fc1.
    Json a = last_line_json(r.out)["checkpoints"][0]["layers"][4]["activations"];
    CHECK(a["samples"] == samples);
    CHECK(a["effective_rank"].get<double>() == Approx(1).epsilon(1e-3));
  }
}

TEST_CASE("spectrum refuses what it cannot use", "[bad_input][spectrum]") {
  TemporaryFolder folder;
  std::string good = bytes_of(write_checkpoint(folder / "c.safetensors", "lenet5", true)), altered = good;
  altered[good.size() - 5] = static_cast<char>(altered[good.size() - 5] ^ 1);
  std::string not_finite =
      bytes_of(write_checkpoint(folder / "n.safetensors", "lenet5", true, 1, [](Module& m) {
        layer_as<Conv2d>(m, "conv2").weight.mutable_value().mutable_data<float>()[3] = NAN;
      }));
  auto with = [](const std::string& file) {
    return [=](const fs::path& f) { put(f / "c.safetensors", file); };
  };
  const Arguments command{"spectrum", "--checkpoint", "c.safetensors"};
  check_all_refused({
      {"no checkpoint", {}, {"spectrum"}, 2, "spectrum: --checkpoint is required: .*"},
      {"a missing file", {}, command, 4, R"(c\.safetensors: cannot open: No such file or directory)"},
      {"a second missing file", with(good), command + Arguments{"d.safetensors"}, 4,
       R"(d\.safetensors: cannot open: No such file or directory)"},
      {"a text", with("hello, world"), command, 6, R"(c\.safetensors: .*)"},
      {"an altered file", with(altered), command, 6, R"(c\.safetensors: the content was altered: .*)"},
      {"half a file", with(good.substr(0, good.size() / 2)), command, 6, R"(c\.safetensors: tensor .*)"},
      {"a weight that is not finite", with(not_finite), command, 6,
       R"(c\.safetensors: conv2\.weight holds values that are not finite)"},
      {"one file twice", with(good), command + Arguments{"./c.safetensors"}, 2,
       R"(--checkpoint: "\./c\.safetensors" is listed twice)"},
      {"a data set without activations", with(good), command + Arguments{"--data", "mnist"}, 2,
       "--data: needs --activations: nothing else looks at images"},
      {"images of another size", with(good), command + Arguments{"--activations", "--data", "synth-objects"},
       2, "--data: synth-objects has images of 3x32x32, the checkpoint expects 1x28x28"},
      {"one image", with(good), command + Arguments{"--activations", "--limit-test", "1"}, 3,
       "synth-digits: expected at least 2 test images, got 1"},
      {"an unknown data set", with(good), command + Arguments{"--activations", "--data", "mnits"}, 2,
       ".*mnits.*"},
      {"data that are not there", with(good), command + Arguments{"--activations", "--data", "mnist"}, 4,
       ".*train-images-idx3-ubyte: neither this file nor .*"},
      {"a negative number", with(good), command + Arguments{"--activations", "--limit-test", "-1"}, 2,
       "--limit-test: expected at least 0, got -1"},
      {"too many threads", with(good), command + Arguments{"--threads", "65"}, 2, "--threads: .*"},
      {"two forms at once", with(good), command + Arguments{"--json", "--csv"}, 2,
       "--csv: cannot be combined with --json"},
      {"an unknown flag", with(good), command + Arguments{"--activation"}, 2,
       "spectrum: unknown flag --activation; did you mean --activations\\?"},
      {"a file in the way", with(good), command + Arguments{"--out", "c.safetensors"}, 2,
       R"(--out: c\.safetensors is a file, expected a folder)"},
  });
}
