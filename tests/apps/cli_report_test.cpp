// What compare reports, and the pictures that all verbs draw.
#include <cmath>
#include <regex>

#include "data/formats/image.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// Every element that is opened is closed, in order, and attributes are quoted. Enough of XML for what we
// write.
std::string svg_error(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
    size_t end = text.find('>', at);
    if (end == std::string::npos) return "an element does not end";
    std::string tag = text.substr(at + 1, end - at - 1);
    at = end;
    if (tag.empty() || count_of(tag, "<") || count_of(tag, "\"") % 2) return "malformed: " + tag;
    std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" \n/", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != name) return "closes " + name + " without need";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    if (std::regex_search(tag, std::regex("[\" ,](-?nan|-?inf)"))) return "a coordinate is no number: " + tag;
  }
  // An ampersand must start an entity.
  if (!std::regex_match(std::to_string(count_of(text, "&")),
                        std::regex(std::to_string(count_of(text, "&amp;") + count_of(text, "&lt;") +
                                                  count_of(text, "&gt;") + count_of(text, "&quot;") +
                                                  count_of(text, "&#")))))
    return "an ampersand is not escaped";
  return open.empty() ? "" : open.back() + " is not closed";
}

// A PNG file that decodes to at least this size and is not of one colour.
void check_png(const fs::path& path, int64_t width, int64_t height) {
  INFO(path);
  std::string text = read_text(path);
  CHECK(text.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  Image image = decode_image(Bytes(text.begin(), text.end()), path.string());
  CHECK(image.width >= width);
  CHECK(image.height >= height);
  CHECK(image.width <= 8000);
  CHECK(image.height <= 8000);
  int64_t dark = 0, light = 0;
  for (uint8_t v : image.pixels) dark += v<100, light += v> 200;
  CHECK(dark > 100);
  CHECK(light > static_cast<int64_t>(image.pixels.size()) / 2);
}

// Addresses that a browser would fetch.
std::string foreign_links(std::string page) {
  page = std::regex_replace(page, std::regex("xmlns(:\\w+)?=\"http://www.w3.org/[^\"]*\""), "");
  for (size_t at = 0; (at = page.find("src=\"data:image/png;base64,", at)) != page.npos;)
    page.erase(at, page.find('"', at + 5) - at);  // a picture that is in the page
  std::smatch found;
  if (std::regex_search(page, found, std::regex("https?://|src=|href=|@import|url\\(|<script")))
    return found.str();
  return "";
}

// What a reader sees of a page.
std::string words_of(const std::string& page) {
  std::string words;
  bool tag = false;
  for (char c : page) {
    if (c == '<') words += ' ';
    tag = c == '<' || (tag && c != '>');
    if (!tag && c != '>') words += c;
  }
  return words;
}

// Images of two kinds that are easy to tell apart, in folders with awkward names.
void write_easy_set(const fs::path& folder) {
  for (auto [part, count] : {std::pair<const char*, int>{"train", 60}, {"test", 20}})
    for (int i = 0; i < count; ++i) {
      Image image{12, 12, 1, Bytes(144)};
      for (size_t k = 0; k < 144; ++k)
        image.pixels[k] =
            static_cast<uint8_t>((static_cast<size_t>(i) * 31 + k * 17) % 60 + (i % 2 ? 150 : 20));
      fs::path where = folder / part / (i % 2 ? "white, \"snow\"" : "<black> & dark");
      fs::create_directories(where);
      write_file_atomic((where / (std::to_string(i) + ".png")).string(), png_bytes(image));
    }
}

const Arguments kGrid{
    "compare", "--data",       "synth-digits", "--limit-train", "200", "--limit-test", "100", "--model",
    "mlp",     "--batch-size", "50",           "--epochs",      "3",   "--threads",    "2"};

// What all arms held.
struct Seen {
  std::string arms;            // "on unit0.02 " and so on
  int nulls = 0, reached = 0;  // of each run and each accuracy to reach
  int diverged = 0;            // runs
};

// One arm of summary.json, with the seeds 7 and 8.
void check_arm(const Json& arm, Seen& seen) {
  INFO(arm.dump());
  CHECK(arm.at("batch_norm").is_boolean());
  seen.arms += fmt::format("{}{}{} ", arm["batch_norm"].get<bool>() ? "on " : "off ",
                           arm["normalize"].get<std::string>(), arm["lr"].get<double>());
  CHECK(arm.at("seeds") == Json{7, 8});
  REQUIRE(arm.at("test_accuracy").size() == 2);
  for (const Json& a : arm["test_accuracy"]) CHECK((a >= 0.0 && a <= 1.0));
  REQUIRE(arm.at("diverged").size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(arm["diverged"][i].is_boolean());
    CHECK(arm["diverged_at"][i].is_null() == !arm["diverged"][i].get<bool>());
    seen.diverged += arm["diverged"][i].get<bool>();
  }
  for (const char* key : {"0.90", "0.95"}) REQUIRE(arm.at("steps_to").at(key).size() == 2);
  for (auto& [key, steps] : arm["steps_to"].items()) {
    double wanted = std::stod(key);
    for (size_t i = 0; i < 2; ++i) {
      CHECK(arm["seconds_to"][key][i].is_null() == steps[i].is_null());
      if (steps[i].is_null()) {
        ++seen.nulls;
        CHECK(arm["test_accuracy"][i] < wanted);
      } else {
        ++seen.reached;
        CHECK(steps[i].is_number_integer());
        CHECK((steps[i] > 0 && steps[i] <= 30));
      }
    }
  }
}

// The measurements behind the arms: steps_to is the first that was good enough, measured often enough.
void check_measurements(const Json& arms, const std::vector<Arguments>& rows) {
  CHECK(rows[0] ==
        Arguments{"batch_norm", "normalize", "lr", "seed", "step", "test_accuracy", "train_loss", "seconds"});
  for (const Json& arm : arms)
    for (size_t i = 0; i < 2; ++i) {
      std::string first = "null", lr = fmt::format("{}", arm["lr"].get<double>());
      double last = -1;
      for (auto& row : rows) {
        if (row[0] != (arm["batch_norm"].get<bool>() ? "on" : "off") ||
            row[1] != arm["normalize"].get<std::string>() || row[2] != lr || row[3] != arm["seeds"][i].dump())
          continue;
        last = std::stod(row[5]);
        if (first == "null" && last >= 0.9) first = row[4];
      }
      CHECK(arm["steps_to"]["0.90"][i].dump() == first);
      CHECK(last == Approx(arm["test_accuracy"][i].get<double>()).margin(1e-5));
    }
}

}  // namespace

TEST_CASE("compare reports every arm and seed, and null for an accuracy never reached", "[cli][compare]") {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  write_easy_set(folder / "set");
  RunResult r = run_sigma({"compare",
                           "--data",
                           "folder:" + (folder / "set").string(),
                           "--model",
                           "mlp",
                           "--batch-size",
                           "10",
                           "--epochs",
                           "5",
                           "--threads",
                           "2",
                           "--normalize",
                           "unit,standard",
                           "--lr",
                           "0.02,1e20",
                           "--seeds",
                           "2",
                           "--seed",
                           "7",
                           "--json",
                           "--out",
                           run.string()});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);  // a diverged arm is a result
  Json s = read_json(run / "summary.json");
  CHECK(last_line_json(r.out) == s);
  const Json& arms = s.at("arms");
  REQUIRE(arms.size() == 8);
  Seen seen;
  for (const Json& arm : arms) check_arm(arm, seen);
  CHECK(seen.arms ==
        "on unit0.02 on unit1e+20 on standard0.02 on standard1e+20 off unit0.02 off unit1e+20 off "
        "standard0.02 off standard1e+20 ");
  CHECK(seen.nulls > 0);
  CHECK(seen.reached > 0);
  CHECK(seen.diverged >= 2);
  check_measurements(arms, read_csv(run / "results.csv"));
  CHECK(s["eval_every"] == 1);  // 1/30 of the run
  // The table on the terminal has a line an arm.
  for (const char* word :
       {"no batch norm · pixels 0 to 1 · rate 1e20", "batch norm · standardized input · rate 0.02",
        "steps to 90%", "never", "diverged"})
    CHECK(contains(r.out, word));
  CHECK(contains(r.out, "report: " + (run / "report.html").string()));
}

TEST_CASE("the report is one page that opens from disk, with every picture in it", "[cli][compare]") {
  TemporaryFolder folder;
  for (bool rates : {false, true}) {
    INFO("several learning rates " << rates);
    fs::path run = folder / (rates ? "rates" : "one");
    Arguments flags =
        kGrid + Arguments{"--normalize", "standard", "--seeds", "1", "--quiet", "--out", run.string()};
    if (rates)
      flags = flags + Arguments{"--lr", "0.01,0.1,1e20", "--epochs", "1"};
    else
      flags = flags + Arguments{"--schedule", "one-cycle", "--model",           "lenet5",
                                "--epochs",   "1",         "--histogram-layer", "bn1"};
    RunResult r = run_sigma(flags);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    std::string page = read_text(run / "report.html");
    CHECK(page.rfind("<!doctype html>", 0) == 0);
    CHECK(foreign_links(page) == "");
    // Accuracy and loss, what flows with and without batch norm and its histograms, the network; of several
    // rates a picture each, and one of accuracy by rate; of a schedule that changes the rate.
    const size_t panels = rates ? 3 : 1;
    CHECK(count_of(page, "<svg ") == 2 * panels + 4 * panels + 1 + 1);
    CHECK(count_of(page, "</svg>") == count_of(page, "<svg "));
    CHECK(count_of(page, "<tr>") == (rates ? 7 : 3));
    CHECK(contains(page, "</html>"));
    const Json summary = read_json(run / "summary.json");
    double best = 0;
    for (const Json& arm : summary.at("arms"))
      if (arm.at("batch_norm") == true) best = std::max(best, arm.at("test_accuracy")[0].get<double>());
    CHECK(contains(
        page, fmt::format("<p class=\"finding\">With batch norm, {} names {:.1f}% of the test images right",
                          rates ? "mlp" : "lenet5", 100 * best)));
    for (const char* word : {"test accuracy (%)", "training loss (nats)", "training step", "no batch norm",
                             "raw pixels: values from 0 to", "standardized input: values from",
                             "15 and 85 of 100 values", "share of values (%)", "Marked: the layer",
                             "sigma compare", "--seeds 1", "prefers-color-scheme:dark"})
      CHECK(contains(page, word));
    CHECK(contains(page, "The learning rate over the run") == !rates);  // one-cycle; else it is constant
    if (rates) {
      CHECK(contains(page, "diverged at step"));
      CHECK(contains(page, "Accuracy by learning rate"));
      CHECK(contains(page, "A cross is a run that diverged"));
    }
    // Words for people: not those of the program's insides.
    const std::string shown = words_of(page.substr(page.find("<body"), page.find("To repeat it")));
    for (const char* word :
         {"[^a-z]arms?[^a-z]", "[^a-z]none[^a-z]", "[^a-z]nan[^a-z]", "[^a-z]inf[^a-z]", " 1 seeds"})
      CHECK_FALSE(std::regex_search(shown, std::regex(word)));
    for (size_t at = 0; (at = page.find("<svg ", at)) != std::string::npos; ++at)
      CHECK(svg_error(page.substr(at, page.find("</svg>", at) + 6 - at)) == "");
    CHECK(svg_error(page.substr(page.find("<body"), page.find("</body>") + 7 - page.find("<body"))) == "");
    check_png(run / "curves.png", 440, 300);
    check_png(run / "activations.png", 440, 300);
    CHECK(fs::exists(run / "values.png") == rates);
    CHECK(svg_error(read_text(run / "curves.svg")) == "");
    CHECK(fs::is_regular_file(run / "config.json"));
    CHECK(fs::is_regular_file(run / "env.json"));
    if (rates) continue;
    // The command in the report repeats the run.
    std::string command = page.substr(page.find("<pre>sigma ") + 11);
    command = command.substr(0, command.find("</pre>"));
    Arguments words;
    std::istringstream split(command);
    for (std::string word; split >> word;) words.push_back(word);
    r = run_sigma(words + Arguments{"--quiet", "--out", (folder / "again").string()});
    INFO(command << ": " << r.err);
    REQUIRE(r.exit_code == 0);
    Json a = read_json(run / "summary.json"), b = read_json(folder / "again/summary.json");
    for (size_t i = 0; i < a["arms"].size(); ++i)
      CHECK(a["arms"][i]["test_accuracy"] == b["arms"][i]["test_accuracy"]);
    Json config = read_json(run / "config.json"), repeated = read_json(folder / "again/config.json");
    CHECK(config["histogram-layer"] == "bn1");
    CHECK(contains(command, "--histogram-layer bn1"));
    CHECK(config == repeated);
  }
}

TEST_CASE("the pictures of a training run decode and have their axes labelled", "[cli]") {
  TemporaryFolder folder;
  fs::path run = folder / "run";
  fs::path data = folder / "black & white <set>";
  write_easy_set(data);
  REQUIRE(run_sigma({"train", "--data", "folder:" + data.string(), "--model", "lenet5", "--batch-size", "20",
                     "--epochs", "2", "--quiet", "--out", run.string()})
              .exit_code == 0);
  check_png(run / "curves.png", 1000, 300);
  check_png(run / "confusion.png", 300, 300);
  std::string svg = read_text(run / "curves.svg");
  CHECK(svg.rfind("<svg xmlns=\"http://www.w3.org/2000/svg\"", 0) == 0);
  CHECK(svg_error(svg) == "");
  CHECK(foreign_links(svg) == "");
  for (const char* word : {"training step", "cross-entropy (nats)", "accuracy (%)", ">training<", ">test<"})
    CHECK(contains(svg, word));
  CHECK(contains(svg, "black &amp; white &lt;set"));
  std::string table = read_text(run / "confusion.csv");
  CHECK(table.rfind("true\\predicted,<black> & dark,\"white, \"\"snow\"\"\"\n", 0) == 0);
  CHECK(contains(table, "\n\"white, \"\"snow\"\"\","));
  // The check itself can fail.
  CHECK(svg_error("<svg a=\"1\"><g></svg>") != "");
  CHECK(svg_error("<svg><text>a & b</text></svg>") != "");
}
