// `sigma compress --sweep`: accuracy at ratios from 1 to 0.05, as a table and a picture.
#include <nlohmann/json.hpp>

#include "apps/report/plot.h"
#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/verbs/compress.h"
#include "apps/verbs/saved_model.h"

namespace sigma::app {
namespace {

struct Point {
  double ratio;
  Totals totals;
  double accuracy, stale;  // stale: with the statistics as they were
};

// The network at a share of the parameters; nothing where rank 1 everywhere is more than that.
std::optional<Point> measure(const CompressInput& in, const std::string& path, double ratio,
                             int64_t bn_images) {
  Point p{ratio, {}, 0, 0};
  std::vector<Choice> choices;
  try {
    choices = choose_by_share(in.candidates, ratio, Cost::parameters);
  } catch (const Error&) { return {}; }
  p.totals = totals_of(in.candidates, choices);
  SavedModel m = model_from(in.checkpoint, path);
  factor_model(*m.model, in.candidates, choices);
  auto accuracy = [&] { return evaluate_or_stop(*m.model, in.data, m.normalization).accuracy; };
  p.stale = p.accuracy = accuracy();
  if (bn_images > 0) {
    measure_statistics(*m.model, in.data, m.normalization, bn_images);
    p.accuracy = accuracy();
  }
  return p;
}

Chart chart(const std::string& title, const char* kept, const std::vector<Point>& points, bool norm,
            const std::function<double(const Totals&)>& share) {
  Series now{norm ? "batch-norm statistics measured anew" : "compressed", {}, {}, {}, {}, palette(0)};
  Series stale{"statistics as they were", {}, {}, {}, {}, palette(1), true};
  for (const Point& p : points) {
    now.x.push_back(share(p.totals));
    now.y.push_back(100 * p.accuracy);
    stale.y.push_back(100 * p.stale);
  }
  stale.x = now.x;
  Chart c{title, kept, "test accuracy (%)"};
  c.series = {now};
  if (norm) c.series.push_back(stale);
  return c;
}

}  // namespace

int sweep_compression(const Options& o, const CompressWanted& wanted, const Json& config, CompressInput& in) {
  const std::filesystem::path path = RunFolder::locate(o, "compress");
  keep_inputs(path, o, {o.checkpoint});
  RunFolder folder(path, o, 1 << 20);
  folder.write_json("config.json", config);
  folder.write_json("env.json", environment());
  const bool norm = has_batch_norm(*in.model.model) && wanted.bn_images > 0;
  const EvalResult before = evaluate_or_stop(*in.model.model, in.data, in.model.normalization);
  const Totals whole = totals_of(in.candidates, std::vector<Choice>(in.candidates.size()));
  ProgressLine line(o.quiet);
  std::vector<Point> points;
  std::string csv = "ratio,parameters,macs,test_accuracy,test_accuracy_old_statistics\n";
  Json rows = Json::array();
  for (double ratio : {1.0, .9, .8, .7, .6, .5, .4, .3, .2, .15, .1, .05}) {
    line.show(fmt::format("compress: parameters {:.0f}%", 100 * ratio));
    const std::optional<Point> p = measure(in, o.checkpoint, ratio, norm ? wanted.bn_images : 0);
    if (!p) break;
    points.push_back(*p);
    csv += fmt::format("{},{},{},{:.5f},{:.5f}\n", ratio, p->totals.parameters, p->totals.macs, p->accuracy,
                       p->stale);
    rows.push_back({{"ratio", ratio},
                    {"parameters", p->totals.parameters},
                    {"macs", p->totals.macs},
                    {"test_accuracy", p->accuracy},
                    {"test_accuracy_old_statistics", p->stale}});
    line.finish(fmt::format(
        "ratio {:.2f}: {} parameters ({:.1f}%), {} multiply-accumulates ({:.1f}%), accuracy {:.2f}%", ratio,
        p->totals.parameters, percent(p->totals.parameters, whole.parameters), p->totals.macs,
        percent(p->totals.macs, whole.macs), 100 * p->accuracy));
  }
  const std::string title =
      fmt::format("{} on {}, {:.2f}% whole", in.model.name, in.data.name, 100 * before.accuracy);
  const std::vector<Chart> charts{
      chart(title, "parameters kept (%)", points, norm,
            [&](const Totals& t) { return percent(t.parameters, whole.parameters); }),
      chart(title, "multiply-accumulates kept (%)", points, norm,
            [&](const Totals& t) { return percent(t.macs, whole.macs); })};
  folder.write("sweep.csv", csv);
  folder.write("sweep.svg", to_svg(charts, 2));
  folder.write("sweep.png", to_png(charts, 2));
  const Json j{{"accuracy_before", before.accuracy},
               {"parameters_before", whole.parameters},
               {"macs_before", whole.macs},
               {"points", rows}};
  folder.write_json("summary.json", j);
  if (!o.quiet) print(fmt::format("picture: {}", folder / "sweep.png"));
  if (o.json) print_json(j);
  return 0;
}

}  // namespace sigma::app
