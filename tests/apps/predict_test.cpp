// `sigma predict` on files, folders and patterns, and what `train` and `eval` say of each image and class.
#include "apps/training/predictions.h"
#include "data/dataset.h"
#include "data/formats/image.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

void write_digit(const fs::path& path, const Dataset& digits, int64_t row) {
  Bytes pixels(784);
  digits.test.read(row, pixels.data());
  fs::create_directories(path.parent_path());
  write_file_atomic(path.string(), png_bytes({28, 28, 1, pixels}));
}

// A trained network beside a folder with three digits, one below another folder, and three files that are
// none.
struct Shop {
  TemporaryFolder folder;
  std::string checkpoint;
  Shop() {
    const RunResult r = run_sigma({"train", "--model", "mlp", "--limit-train", "200", "--limit-test", "40",
                                   "--epochs", "1", "--quiet", "--out", (folder / "run").string()});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    checkpoint = (folder / "run/weights/last.safetensors").string();
    const Dataset digits = make_synth_digits(1, 3);
    write_digit(folder / "in/b.png", digits, 0);
    write_digit(folder / "in/a, \"b\".png", digits, 1);
    write_digit(folder / "in/deep/c.PNG", digits, 2);
    write_file_atomic((folder / "in/bad.jpg").string(), "no image");
    write_file_atomic((folder / "in/notes.txt").string(), "x");
    write_file_atomic((folder / "in/.hidden.png").string(), "x");
  }
  RunResult predict(const Arguments& more) {
    return run_sigma_in(folder.path(), Arguments{"predict", "--checkpoint", checkpoint} + more);
  }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("predict goes through files, folders and patterns past what is no image, and ends with 3",
          "[cli]") {
  Shop shop;
  RunResult r = shop.predict({"in"});
  CHECK(r.exit_code == 3);
  const std::vector<std::string> text = lines_of(r.out);
  REQUIRE(text.size() == 3);  // in the order of their names
  CHECK(text[0].starts_with("in/a, \"b\".png: "));
  CHECK(text[1].starts_with("in/b.png: "));
  CHECK(text[2].starts_with("in/deep/c.PNG: "));
  CHECK(contains(r.err, "error: in/bad.jpg: at byte 0: 6e 6f 20 69: this is neither a PNG"));
  CHECK(contains(r.err, "1 other file was passed over"));
  CHECK(contains(r.err, "error: 1 of 4 could not be read"));

  r = shop.predict({"in/[ab]*.png", "--top", "2", "--format", "csv"});
  CHECK(r.exit_code == 0);
  const auto csv = lines_of(r.out);
  REQUIRE(csv.size() == 3);
  CHECK(csv[0] == "file,class,probability,class_2,probability_2");
  CHECK(csv[1].starts_with("\"in/a, \"\"b\"\".png\","));

  r = shop.predict({"in/b.png", "in/missing.png", "in/bad.jpg", "--format", "jsonl", "--top", "20"});
  CHECK(r.exit_code == 3);
  const auto objects = lines_of(r.out);
  REQUIRE(objects.size() == 3);
  const Json first = Json::parse(objects[0]);
  CHECK(first.at("image") == "in/b.png");
  CHECK(first.at("top").size() == 10);
  double sum = 0;
  for (const Json& t : first.at("top")) sum += t.at("probability").get<double>();
  CHECK(sum == Approx(1).margin(1e-9));
  CHECK(Json::parse(objects[1]).at("error") == "cannot open: No such file or directory");
  CHECK(contains(Json::parse(objects[2]).at("error"), "neither a PNG"));
}

TEST_CASE("predict says the same of an image alone and among others", "[cli]") {
  Shop shop;
  const Json all = last_line_json(shop.predict({"in", "--quiet", "--json"}).out),
             one = last_line_json(shop.predict({"in/b.png", "--quiet", "--json"}).out);
  CHECK(all.at("predictions")[1] == one.at("predictions")[0]);
  CHECK(all.at("errors").size() == 1);
}

TEST_CASE("predict names what stands for no image", "[cli]") {
  Shop shop;
  RunResult r = shop.predict({"nothing/*.png"});
  CHECK(r.exit_code == 3);
  CHECK(contains(r.err, "error: nothing/*.png: no PNG or JPEG file is named so"));
  CHECK(r.out.empty());
  fs::create_directories(shop.folder / "empty");
  r = shop.predict({"empty"});
  CHECK(r.exit_code == 3);
  CHECK(contains(r.err, "error: empty: the folder holds no PNG or JPEG image"));
  r = shop.predict({"in", "--format", "xml"});
  CHECK(r.exit_code == 2);
  write_file_atomic((shop.folder / "wide.png").string(), png_bytes({20, 20, 1, Bytes(400)}));
  r = shop.predict({"wide.png"});
  CHECK(r.exit_code == 3);
  CHECK(lines_of(r.err).back() == "error: wide.png: 20x20 pixels, the checkpoint expects 28x28");
}

TEST_CASE("predict --explain draws where a network looks and replaces no file", "[cli]") {
  Shop shop;
  RunResult r = shop.predict({"in/b.png", "--explain", "looks"});
  CHECK(r.exit_code == 2);  // a perceptron sees no places
  CHECK(contains(r.err, "--explain: no layer of mlp gives an image with places"));
  REQUIRE(run_sigma({"train", "--model", "lenet5", "--limit-train", "100", "--limit-test", "20", "--epochs",
                     "1", "--quiet", "--out", (shop.folder / "conv").string()})
              .exit_code == 0);
  shop.checkpoint = (shop.folder / "conv/weights/last.safetensors").string();
  const std::string before = read_text(shop.folder / "in/b.png");
  r = shop.predict({"in/b.png", "in/b.png", "--explain", "in", "--json"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(last_line_json(r.out).at("predictions")[1].at("explanation") == "in/b-3.png");
  CHECK(read_text(shop.folder / "in/b.png") == before);
  const Image picture = read_image((shop.folder / "in/b-2.png").string());
  CHECK(picture.width > 2 * 224);
  CHECK(picture.channels == 3);
}

TEST_CASE("a run tells precision and recall of each class and what it says of each image", "[cli]") {
  Shop shop;
  const Json summary = read_json(shop.folder / "run/summary.json");
  const auto predictions = read_csv(shop.folder / "run/predictions.csv"),
             metrics = read_csv(shop.folder / "run/metrics.csv");
  REQUIRE(predictions.size() == 41);
  CHECK(predictions[0] == std::vector<std::string>{"index", "file", "class", "predicted", "probability",
                                                   "class_probability", "correct"});
  int64_t correct = 0;
  for (size_t i = 1; i < predictions.size(); ++i) {
    CHECK((predictions[i][2] == predictions[i][3]) == (predictions[i][6] == "1"));
    correct += predictions[i][6] == "1";
  }
  CHECK(static_cast<double>(correct) / 40 == Approx(summary.at("test_accuracy").get<double>()));
  REQUIRE(metrics.size() == 13);  // header, ten classes, two means
  CHECK(std::stod(metrics[11][4]) == Approx(summary.at("macro_f1").get<double>()).margin(1e-5));
  CHECK(summary.contains("top5_accuracy"));
  const RunResult eval = run_sigma({"eval", "--checkpoint", shop.checkpoint, "--limit-test", "40", "--json",
                                    "--out", (shop.folder / "eval").string()});
  CHECK(eval.exit_code == 0);
  CHECK(last_line_json(eval.out).at("macro").at("f1") == summary.at("macro_f1"));
  CHECK(contains(eval.out, "weighted mean"));
  CHECK(read_text(shop.folder / "eval/predictions.csv") == read_text(shop.folder / "run/predictions.csv"));
}

TEST_CASE("means over classes are scikit-learn's", "[metrics]") {
  // Class 2 has no images and class 3 neither images nor predictions.
  const std::vector<ClassMetrics> m = class_metrics({{3, 1, 0, 0}, {2, 2, 1, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}});
  CHECK(m[0].precision == Approx(0.6));
  CHECK(m[0].recall == Approx(0.75));
  CHECK(m[1].precision == Approx(2.0 / 3));
  CHECK(m[1].recall == Approx(0.4));
  CHECK(m[1].f1 == Approx(0.5));
  CHECK(m[2].predicted == 1);
  CHECK(macro_mean(m).precision == Approx((0.6 + 2.0 / 3 + 0) / 3));
  CHECK(macro_mean(m).recall == Approx((0.75 + 0.4 + 0) / 3));
  CHECK(weighted_mean(m).recall == Approx((4 * 0.75 + 5 * 0.4) / 9));
}

TEST_CASE("the most certain mistakes and the most frequent confusions come first", "[metrics]") {
  const std::vector<Prediction> all = {
      {0, 1, 1, .99, .99}, {1, 0, 2, .7, .1}, {2, 0, 1, .9, .05}, {3, 2, 1, .9, .02}, {4, 1, 0, .5, .4}};
  const std::vector<Prediction> worst = most_certain_mistakes(all, 3);
  REQUIRE(worst.size() == 3);
  CHECK(worst[0].row == 2);
  CHECK(worst[1].row == 3);
  CHECK(worst[2].row == 1);
  const std::vector<Confusion> pairs = most_frequent_confusions({{5, 2, 0}, {2, 0, 0}, {1, 0, 9}}, 2);
  REQUIRE(pairs.size() == 2);
  CHECK(pairs[0].truth == 1);  // all of its images, the other two of seven
  CHECK(pairs[0].share == 1);
  CHECK(pairs[1].truth == 0);
}
