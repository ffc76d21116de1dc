// The page that a training leaves: from the struct, and from runs of the program.
#include "apps/report/run_page.h"

#include <filesystem>

#include "core/file.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

Picture grey(uint8_t value) { return {2, 2, 1, {value, value, value, value}}; }

// Three classes, 10 images of which 7 are named right.
RunReport small_report() {
  RunReport run;
  run.model = "cnn";
  run.data = "digits";
  run.train_images = 60;
  run.test_images = 10;
  run.parameters = 1234567;
  run.epochs = 3;
  run.seconds = 125;
  run.result = {"test", 0.7, 0.5, {{3, 1, 0}, {0, 4, 1}, {1, 0, 0}}};
  run.class_names = {"a", "<b>", "c"};
  run.scores = {{0.75, 0.75, 0.75, 4}, {0.8, 0.8, 0.8, 5}, {0, 0, 0, 1}};
  run.confusions = {{0, 1, 1, 0.25}};
  run.measured = {{1, 2, 0.3, 2.1, 0.4}, {2, 1, 0.6, 1.2, 0.8}, {3, 0.5, 0.9, 1.5, 0.7}};
  run.measured_part = "test";
  run.best_epoch = 2;
  run.best_accuracy = 0.8;
  run.how_to_validate = "Set some apart.";
  run.samples = {{grey(0), grey(255), "a"}};
  run.mistakes = {{grey(9), {}, 0, 1, 0.991, "test/a/1.png"}};
  run.no_heat = "There is no map.";
  run.network = {"cnn", "(1, 1, 2, 2)", {{"fc", "Linear", "(1, 3)", 15}}, {}};
  run.settings = {{"epochs", "3"}};
  run.config = "{\"epochs\": 3}";
  run.command = "sigma train";
  run.environment = "{}";
  return run;
}

void check_page(const std::string& html) {
  CHECK(count_of(html, "http://") == count_of(html, "xmlns=\"http://www.w3.org/2000/svg\""));
  CHECK(!contains(html, "https://"));
  CHECK(!contains(html, "<script"));
  for (const char* lost : {">nan", " nan", "NaN", ">inf", " inf%", "-inf"}) {
    INFO(lost);
    CHECK(!contains(html, lost));
  }
  for (const char* tag : {"div", "table", "figure", "details", "span", "svg", "p", "tr", "td"}) {
    INFO(tag);
    CHECK(count_of(html, fmt::format("<{}>", tag)) + count_of(html, fmt::format("<{} ", tag)) ==
          count_of(html, fmt::format("</{}>", tag)));
  }
}

// A training of the program on the built-in digits: the page it leaves.
std::string page_of(std::vector<std::string> flags) {
  TemporaryFolder folder;
  std::vector<std::string> command{"train", "--limit-train",          "64", "--limit-test",
                                   "40",    "--batch-size",           "32", "--quiet",
                                   "--out", (folder / "run").string()};
  command.insert(command.end(), flags.begin(), flags.end());
  const RunResult r = run_sigma(command);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const Bytes bytes = read_file((folder / "run/report.html").string(), uint64_t{1} << 26);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("the page of a run says what came of it, with numbers") {
  const std::string html = report_html(small_report());
  check_page(html);
  // The matrix: 1 of 4 is a quarter of the row. Class c was never found, and said once, wrongly.
  for (const char* words :
       {"After 3 epochs the network names 7 of 10 test images right, 70.0%",
        "Its most frequent mistake: a taken for &lt;b&gt;, 1 of 4 times.", "2 min 05 s",
        "1\u00a0234\u00a0567", "weights/best.safetensors holds those of epoch 2",
        "The best were chosen on the test images", "Set some apart.",
        "most frequent class would be right for 50.0%", "lowest at epoch 2, 1.2, and has risen since",
        "title=\"true a, said &lt;b&gt;: 1 image (25.0%)\">25</td>",
        "<td>a</td><td>&lt;b&gt;</td><td>1</td><td>25.0%</td>",
        "<td>c</td><td>0.0%</td><td>0.0%</td><td>0.0%</td><td>1</td>",
        "true a, said &lt;b&gt; with 99.1%\ntest/a/1.png", "There is no map.",
        "The mistake it is most certain of", "<td>epochs</td><td>3</td>"})
    CHECK_THAT(html, Contains(words));
  // Two curves, with the best epoch, and the network.
  CHECK(count_of(html, "<svg ") == 3);
  CHECK(count_of(html, ">best</text>") == 2);
  CHECK(!contains(html, "<b>,"));
}

TEST_CASE("the page of a run says on which images the best were chosen") {
  RunReport run = small_report();
  run.validation_images = 1;
  run.measured_part = "validation";
  run.validation_accuracy = 1;
  std::string html = report_html(run);
  CHECK(contains(html, "chosen on 1 validation image that"));
  CHECK(!contains(html, "Set some apart."));
  run.result.part = "validation";
  run.test_images = 0;
  html = report_html(run);
  CHECK(contains(html, "There are no test images."));
}

TEST_CASE("a run that was measured once has no curves, and one without mistakes no gallery") {
  RunReport run = small_report();
  run.epochs = 1;
  run.measured.resize(1);
  run.best_epoch = 1;
  run.mistakes.clear();
  run.confusions.clear();
  run.result.confusion = {{4, 0, 0}, {0, 5, 0}, {0, 0, 1}};
  run.result.accuracy = 1;
  const std::string html = report_html(run);
  check_page(html);
  CHECK(contains(html, "After 1 epoch the network"));
  CHECK(contains(html, "It made no mistake on them."));
  CHECK(contains(html, "measured once, so there is no curve to draw"));
  CHECK(count_of(html, "<svg ") == 1);
  CHECK(!contains(html, "certain of"));
  CHECK(!contains(html, "confusions:"));
}

TEST_CASE("many classes have no matrix, and the weakest come first") {
  RunReport run = small_report();
  run.result.confusion.assign(30, std::vector<int64_t>(30, 0));
  run.scores.clear();
  run.class_names.clear();
  for (size_t c = 0; c < 30; ++c) {
    run.result.confusion[c][c] = c == 0 ? 0 : 1;  // no image of the first
    run.class_names.push_back(fmt::format("k{:02d}", c));
    run.scores.push_back({1, 1, 1.0 - 0.01 * static_cast<double>(c), c == 0 ? 0 : 1});
  }
  const std::string html = report_html(run);
  check_page(html);
  CHECK(!contains(html, "class=\"heat\""));
  CHECK(contains(html, "<summary>The other 10 classes</summary>"));
  CHECK(html.find("<td>k29</td>") < html.find("<td>k28</td>"));
  CHECK(contains(html, "<td>k00</td><td>-</td><td>-</td><td>-</td><td>0</td>"));
}

TEST_CASE("an empty report is a page, too") { check_page(report_html({})); }

TEST_CASE("a training leaves a page with where the network looked") {
  const std::string html = page_of({"--epochs", "2", "--val", "0.2"});
  check_page(html);
  CHECK(contains(html, "Training: cnn on synth-digits"));
  CHECK(contains(html, "chosen on"));
  CHECK(contains(html, "Grad-CAM"));
  CHECK(count_of(html, "<svg ") == 3);
  CHECK(contains(html, "<td>val</td><td>0.2</td>"));
  CHECK(contains(html, "sigma train --limit-train 64 --limit-test 40"));
}

TEST_CASE("a training of one epoch without places leaves a page without curves and Grad-CAM") {
  const std::string html = page_of({"--epochs", "1", "--model", "mlp"});
  check_page(html);
  CHECK(contains(html, "After 1 epoch"));
  CHECK(!contains(html, "Grad-CAM"));
  CHECK(contains(html, "No layer of the network gives an image with places"));
  CHECK(count_of(html, "<svg ") == 1);
}

TEST_CASE("an image with its heat and words is a PNG whose size they fit into") {
  const Picture image{28, 28, 1, std::vector<uint8_t>(28 * 28, 7)},
      heat{28, 28, 3, std::vector<uint8_t>(28 * 28 * 3, 7)};
  const auto width = [](const std::string& png) {
    REQUIRE(png.substr(1, 3) == "PNG");
    return static_cast<unsigned char>(png[18]) * 256 + static_cast<unsigned char>(png[19]);
  };
  // Two pictures of 8 x 28, 12 between and around, two pixels a unit.
  CHECK(width(explained_png(image, heat, {"true 4"})) == 2 * (2 * 224 + 3 * 12));
  CHECK(width(explained_png(image, heat, {std::string(100, 'w')})) > 2 * (2 * 224 + 3 * 12));
  CHECK_THROWS_WITH(explained_png({28, 28, 2, {}}, heat, {}), Catch::Contains("one or three channels"));
}

TEST_CASE("the command of a page names what is not the default, with the chosen optimizer's own") {
  const std::string html =
      page_of({"--model", "mlp", "--optimizer", "adamw", "--patience", "3", "--epochs", "1"});
  CHECK(contains(html,
                 "<pre>sigma train --limit-train 64 --limit-test 40 --model mlp --epochs 1 --batch-size 32 "
                 "--optimizer adamw --patience 3</pre>"));
  CHECK(contains(html, "<td>patience</td><td>3</td>"));
  CHECK_FALSE(contains(html, "<td>beta1</td>"));
}
