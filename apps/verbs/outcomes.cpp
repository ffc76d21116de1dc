#include "apps/verbs/outcomes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/report/csv.h"
#include "apps/run/signals.h"
#include "core/text.h"

namespace sigma::app {
namespace {

struct Row {
  std::string name;
  double precision, recall, f1;
  int64_t images;
};

// The classes, then their means.
std::vector<Row> rows_of(const EvalResult& e, const std::vector<std::string>& names) {
  const std::vector<ClassMetrics> all = class_metrics(e.confusion);
  std::vector<Row> rows;
  for (size_t c = 0; c < all.size(); ++c)
    rows.push_back({names.at(c), all[c].precision, all[c].recall, all[c].f1, all[c].count});
  const MeanMetrics macro = macro_mean(all), weighted = weighted_mean(all);
  rows.push_back({"macro mean", macro.precision, macro.recall, macro.f1, e.count});
  rows.push_back({"weighted mean", weighted.precision, weighted.recall, weighted.f1, e.count});
  return rows;
}

Json json_of(const MeanMetrics& m) {
  return {{"precision", m.precision}, {"recall", m.recall}, {"f1", m.f1}};
}

}  // namespace

Outcomes outcomes_of(Module& model, const Dataset& data, const Normalization& normalization) {
  Outcomes o;
  auto keep = [&](const EvalBatch& batch) {
    for (const Prediction& p : predictions_of(batch)) o.predictions.push_back(p);
  };
  o.result = evaluate(model, data.measured(), normalization, data.classes(),
                      {.stop = [] { return stop_signal() != 0; }, .on_batch = keep});
  if (o.result.stopped) throw Stopped{stop_signal()};
  return o;
}

Json metrics_json(const EvalResult& e, const std::vector<std::string>& names) {
  const std::vector<ClassMetrics> all = class_metrics(e.confusion);
  Json j{{"macro", json_of(macro_mean(all))}, {"weighted", json_of(weighted_mean(all))}};
  if (all.size() > 5) j["top5_accuracy"] = e.top_k_accuracy;
  j["classes"] = Json::array();
  for (size_t c = 0; c < all.size(); ++c)
    j["classes"].push_back({{"class", names.at(c)},
                            {"images", all[c].count},
                            {"precision", all[c].precision},
                            {"recall", all[c].recall},
                            {"f1", all[c].f1}});
  return j;
}

std::string metrics_table(const EvalResult& e, const std::vector<std::string>& names) {
  const std::vector<Row> rows = rows_of(e, names);
  size_t wide = 5;
  for (const Row& r : rows) wide = std::max(wide, printable(r.name).size());
  std::string text = fmt::format("{:<{}}  images  precision  recall     F1", "class", wide);
  for (const Row& r : rows)
    text += fmt::format("\n{:<{}}  {:>6}  {:>8.2f}%  {:>5.2f}%  {:>5.2f}%", printable(r.name), wide, r.images,
                        100 * r.precision, 100 * r.recall, 100 * r.f1);
  if (names.size() > 5) text += fmt::format("\ntop-5 accuracy {:.2f}%", 100 * e.top_k_accuracy);
  return text;
}

std::string metrics_csv(const EvalResult& e, const std::vector<std::string>& names) {
  std::string text = "class,images,precision,recall,f1\n";
  for (const Row& r : rows_of(e, names))
    text +=
        fmt::format("{},{},{:.6f},{:.6f},{:.6f}\n", csv_cell(r.name), r.images, r.precision, r.recall, r.f1);
  return text;
}

std::string predictions_csv(const std::vector<Prediction>& predictions, const Split& split,
                            const std::vector<std::string>& names) {
  std::string text = "index,file,class,predicted,probability,class_probability,correct\n";
  for (const Prediction& p : predictions)
    text += fmt::format("{},{},{},{},{:.6f},{:.6f},{}\n", p.row,
                        split.files.empty() ? "" : csv_cell(split.files.at(static_cast<size_t>(p.row))),
                        csv_cell(names.at(static_cast<size_t>(p.truth))),
                        csv_cell(names.at(static_cast<size_t>(p.guess))), p.probability, p.truth_probability,
                        p.correct() ? 1 : 0);
  return text;
}

}  // namespace sigma::app
