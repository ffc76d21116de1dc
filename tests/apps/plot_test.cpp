// Charts and tables as a program of someone's own draws them.
#include <report/canvas.h>
#include <report/csv.h>
#include <report/plot.h>

#include <cmath>

#include "data/formats/image.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Chart chart_of(std::vector<double> x, std::vector<double> y) {
  return {"Training", "steps", "loss", {{.label = "a < b", .x = std::move(x), .y = std::move(y)}}};
}
Image decode(const std::string& png) { return decode_image(Bytes(png.begin(), png.end()), "png"); }

}  // namespace

TEST_CASE("a chart is the same picture as SVG and as PNG", "[plot]") {
  std::vector<Chart> charts(3, chart_of({1, 2, 3}, {3, NAN, 1}));
  charts[1].series[0].low = charts[1].series[0].high = {1, 2, 3};
  std::string svg = to_svg(charts, 2);
  CHECK(contains(svg, "a &lt; b"));
  CHECK(count_of(svg, ">Training</text>") == 3);
  Image image = decode(to_png(charts, 2));
  CHECK(image.width == 2 * 2 * 640);  // two pixels a unit
  CHECK(image.height == 2 * 2 * 400);
  CHECK(contains(to_svg(Matrix{"Confusion", "predicted", "true", {"cat", "dog"}, {{3, 0}, {1, 2}}}), "dog"));
}

// An axis from 9e15 to 9e15 + 1 has ticks closer than doubles are: drawing it did not end.
TEST_CASE("values of any size make a chart", "[plot]") {
  for (double v : {0., 1e-320, 9e15, 1e17, 1e299, 1e308, HUGE_VAL, std::nan("")})
    for (bool log : {false, true}) {
      INFO(v << (log ? ", logarithmic" : ""));
      std::vector<Chart> charts{chart_of({1, 2}, {v, v}), chart_of({v, -v}, {-v, v})};
      charts[1].series[0].low = {v, 0};
      charts[1].series[0].high = {1, v};
      for (Chart& chart : charts) chart.log_x = chart.log_y = log;
      std::string svg = to_svg(charts);
      CHECK(contains(svg, "</svg>"));
      CHECK_FALSE(contains(svg, "nan"));
      CHECK_FALSE(contains(svg, "inf"));
      CHECK(decode(to_png(charts)).width == 1280);
    }
}

TEST_CASE("a chart whose lists do not fit each other is refused", "[plot]") {
  CHECK(error_of([] {
          to_svg({chart_of({1, 2}, {1})});
        }) == "[chart] a < b: expected as many y as x, 2, got 1");
  CHECK_THROWS_AS(to_svg({chart_of({1}, {1})}, 0), Error);
  Chart chart = chart_of({1}, {1});
  chart.series[0].low = {1};
  CHECK_THROWS_AS(to_png({chart}), Error);
  chart = chart_of({1}, {1});
  chart.y_min = 2;
  chart.y_max = 1;
  CHECK_THROWS_AS(to_svg({chart}), Error);
  chart = chart_of({1}, {1});
  chart.y_min = 0;
  chart.log_y = true;
  CHECK_THROWS_AS(to_svg({chart}), Error);
  CHECK_THROWS_AS(to_svg(Matrix{}), Error);
  CHECK_THROWS_AS(to_svg(Matrix{"", "", "", {"a", "b"}, {{1, 2}, {3}}}), Error);
  CHECK_THROWS_AS(to_svg(Matrix{"", "", "", {"a"}, {{-1}}}), Error);
  const uint8_t pixels[4] = {};
  CHECK_THROWS_AS(encode_png(2, 1, 2, pixels), Error);
  CHECK_THROWS_AS(encode_png(0, 1, 1, pixels), Error);
}

TEST_CASE("a table goes on where a run does", "[csv]") {
  TemporaryFolder folder;
  const std::string path = (folder / "steps.csv").string();
  CsvLog log(path, {"step", "loss"}, 0, 0);
  log.row({"1", "0.5"});
  log.flush();
  log.row({"2", "0.4"});
  log.flush();
  CsvLog resumed(path, {"step", "loss"}, 0, 1);
  CHECK(resumed.rows().size() == 1);
  CHECK(read_text(path) == "step,loss\n1,0.5\n");
  CHECK_THROWS_AS(CsvLog(path, {"step"}, 1, 0), Error);
  CHECK(csv_cell("a \"b\", c") == "\"a \"\"b\"\", c\"");
}

TEST_CASE("a line is cut where the axis ends, and a mark beyond it stands at its edge", "[plot]") {
  Chart chart = chart_of({0, 1, 2, 3}, {1, 1000, 1, 1});
  chart.y_min = 0;
  chart.y_max = 2;
  chart.marks = {{1, 1000, "up to 1000", palette(1)}};
  const std::string svg = to_svg({chart}, 1, {440, 300});
  CHECK(contains(svg, "viewBox=\"0 0 440 300\""));
  CHECK(contains(svg, "up to 1000"));
  // The way up ends at the edge and the way down begins there: two lines in the colour of the series.
  size_t lines = 0;
  for (size_t at = 0; (at = svg.find("<polyline", at)) != std::string::npos; ++at) {
    const std::string one = svg.substr(at, svg.find("/>", at) - at);
    lines += contains(one, "stroke=\"#000000\"") && contains(one, "stroke-width=\"2\"");
    CHECK_FALSE(contains(one, ",-"));
  }
  CHECK(lines == 2);
  chart.x_min = 3;
  chart.x_max = 1;
  CHECK_THROWS_WITH(to_svg({chart}), Contains("expected x_min below x_max"));
}
