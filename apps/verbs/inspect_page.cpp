// The page of `sigma inspect`, its files, and what it tells the terminal.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/report/csv.h"
#include "apps/report/page.h"
#include "apps/report/words.h"
#include "apps/verbs/inspect_parts.h"
#include "apps/verbs/shades.h"

namespace sigma::app {
namespace {

constexpr Size kChart{440, 300};

std::string csv_row(const std::vector<std::string>& cells) {
  std::string row;
  for (const std::string& cell : cells) row += (row.empty() ? "" : ",") + csv_cell(cell);
  return row + "\n";
}

// A PNG of at most some 16,000 pixels a side, and some 20 million.
std::string png_of(const std::vector<Chart>& charts, int columns) {
  const Size size = size_of(charts, columns, kChart);
  const double scale =
      std::min({2.0, 16000 / std::max(size.width, size.height), std::sqrt(2e7 / (size.width * size.height))});
  const auto canvas = make_png(size.width, size.height, scale);
  draw(*canvas, charts, columns, size.width, size.height);
  return canvas->finish();
}

// The image, and what became of it.
struct Panels {
  std::vector<Picture> pictures;
  std::vector<std::string> words;
};
Panels panels_of(const NormalizedImage& n) {
  const std::vector<double> v = n.normalized.to_vector();
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  Panels p{{shaded(n.pixels, 0, 0, 255), shaded(n.normalized, 0, -3, 3)},
           {"pixels: 0 black, 255 white",
            fmt::format("normalized: -3 black, 0 grey, 3 white; these are {:.3g} to {:.3g}", *low, *high)}};
  if (n.back.defined()) {
    p.pictures.push_back(shaded(n.back, 0, 0, 255));
    p.words.emplace_back("and back: 0 black, 255 white");
  }
  return p;
}

std::string panels_png(const Panels& panels) {
  constexpr double kCell = 420, kTop = 30;
  const double below =
      static_cast<double>(panels.pictures[0].height * zoom_for(panels.pictures[0].width, 224));
  const auto canvas = make_png(kCell * static_cast<double>(panels.pictures.size()) + 12, kTop + below + 12);
  for (size_t i = 0; i < panels.pictures.size(); ++i) {
    const Picture& p = panels.pictures[i];
    const double x = 12 + kCell * static_cast<double>(i);
    canvas->text(x, 20, panels.words[i], 12, kInk);
    canvas->image(x, kTop, p.height, p.width, p.channels, p.pixels.data(), zoom_for(p.width, 224));
  }
  return canvas->finish();
}

std::string panels_csv(const NormalizedImage& n) {
  std::string text = "channel,row,column,pixel,normalized,back\n";
  const std::vector<double> a = n.pixels.to_vector(), b = n.normalized.to_vector(),
                            c = n.back.defined() ? n.back.to_vector() : std::vector<double>();
  const auto height = static_cast<size_t>(n.pixels.dim(2)), width = static_cast<size_t>(n.pixels.dim(3));
  for (size_t i = 0; i < a.size(); ++i)
    text += fmt::format("{},{},{},{:g},{:.9g},{}\n", i / (height * width), i / width % height, i % width,
                        a[i], b[i], c.empty() ? "" : fmt::format("{:.9g}", c[i]));
  return text;
}

std::string finding_of(const Inspection& r) {
  if (r.runs[0].diverged_at >= 0) return diverged_text(r.runs[0]);
  if (r.layer.empty()) return r.why;
  const GapAt &first = r.gaps.front(), &last = r.gaps.back();
  std::string text = fmt::format(
      "The same {} images, in training and in eval mode: the outputs lie {:.3g}% of their deviation apart "
      "before the "
      "first step and {:.3g}% after {}.",
      r.batch, 100 * first.gap.relative(), 100 * last.gap.relative(), count_text(last.at, "step"));
  text += fmt::format(" In batches of {} it is {:.3g}%, in batches of {} {:.3g}%.", r.sizes.front().at,
                      100 * r.sizes.front().gap.relative(), r.sizes.back().at,
                      100 * r.sizes.back().gap.relative());
  return text;
}

void add_section(Page& page, const InspectSection& s) {
  page.section(s.title);
  for (const std::string& words : s.words) page.paragraph(words);
  if (!s.fold.empty()) page.begin_fold(s.fold);
  std::vector<Figure> figures;
  for (size_t i = 0; i < s.charts.size(); ++i)
    figures.push_back({to_svg({s.charts[i]}, 1, kChart), s.captions[i]});
  page.figures(figures, s.page_columns);
  if (!s.fold.empty()) page.end_fold();
  if (!s.table.rows.empty()) page.table(s.table.header, s.table.rows);
  page.paragraph(s.charts.empty()
                     ? fmt::format("All numbers: {}.csv.", s.name)
                     : fmt::format("All numbers: {0}.csv; the pictures as one: {0}.png.", s.name));
}

std::string page_of(const Inspection& r, const std::vector<InspectSection>& sections,
                    const std::string& title, const std::string& command, const std::string& config,
                    const std::string& environment) {
  Page page(title);
  page.finding(finding_of(r));
  std::vector<Tile> tiles{{thousands(r.parameters), "parameters"},
                          {thousands(r.steps), "steps of training"},
                          {thousands(r.batch_size), "images a batch"}};
  if (!r.layer.empty()) {
    tiles.push_back({r.layer, "the layer that is watched"});
    tiles.push_back({momentum_text(r.momentum), "its momentum"});
    tiles.push_back({fmt::format("{:g}", r.eps), "its eps"});
  }
  page.tiles(tiles);
  for (const InspectSection& s : sections) add_section(page, s);
  const Panels panels = panels_of(r.image);
  std::vector<Figure> figures;
  for (size_t i = 0; i < panels.pictures.size(); ++i)
    figures.push_back({pictures_html({panels.pictures[i]}, 224, panels.words[i]), panels.words[i]});
  page.gallery(figures, 240);
  page.paragraph(
      fmt::format("A training image of the class {}. All numbers: image.csv; the pictures as one: image.png.",
                  r.image.label));
  page.section("What was run");
  page.preformatted(command);
  page.preformatted(config, "All settings, config.json");
  page.preformatted(environment, "Machine and program, env.json");
  return page.html();
}

Json gap_json(const GapAt& g, const char* key) {
  return {{key, g.at},
          {"rms", g.gap.rms},
          {"largest", g.gap.largest},
          {"relative", g.gap.relative()},
          {"same_class", g.gap.same_class}};
}

Json statistics_json(const Inspection& r) {
  const StatisticsStep& last = r.statistics.back();
  Json channels = Json::array();
  for (size_t c : r.channels)
    channels.push_back({{"channel", c},
                        {"batch_mean", last.batch.mean[c]},
                        {"batch_var_biased", last.batch.biased[c]},
                        {"batch_var_unbiased", last.batch.unbiased()[c]},
                        {"running_mean", last.running.mean[c]},
                        {"running_var", last.running.var[c]}});
  return {{"step", last.step}, {"values", last.batch.values}, {"channels", channels}};
}

Json runs_json(const Inspection& r) {
  Json all = Json::array();
  for (const DistributionRun& run : r.runs) {
    Json layers = Json::array();
    for (const LayerDistribution& d : run.looks.back())
      layers.push_back(
          {{"layer", d.layer}, {"kind", d.kind}, {"activation", d.activation}, {"gradient", d.gradient}});
    all.push_back({{"network", run.label},
                   {"step", run.steps.back()},
                   {"diverged_at", run.diverged_at < 0 ? Json(nullptr) : Json(run.diverged_at)},
                   {"layers", layers}});
  }
  return all;
}

}  // namespace

std::string InspectTable::csv() const {
  std::string text = csv_row(header);
  for (const auto& row : rows) text += csv_row(row);
  return text;
}

std::string InspectTable::text() const {
  std::vector<std::vector<std::string>> all{header};
  all.insert(all.end(), rows.begin(), rows.end());
  return columns_text(all);
}

std::string diverged_text(const DistributionRun& run) {
  return fmt::format("The network {} diverged: after {} its loss was no number.", run.label,
                     count_text(run.diverged_at, "step"));
}

std::string number_text(double value) {
  return std::isfinite(value) ? fmt::format("{:.4g}", value) : "no number";
}

std::string momentum_text(const std::optional<double>& momentum) {
  return momentum ? fmt::format("{:g}", *momentum) : "None";
}

bool is_shown(int64_t step, int64_t all) {
  if (step <= 2 || step == all) return true;
  for (int64_t power = 1; power <= all; power *= 10)
    for (int64_t k : {1, 2, 5})
      if (step == k * power) return true;
  return false;
}

std::vector<InspectSection> inspection_sections(const Inspection& r) {
  std::vector<InspectSection> all{state_section(r)};
  if (!r.layer.empty()) {
    if (!r.statistics.empty()) all.push_back(statistics_section(r));
    if (!r.variances.empty()) all.push_back(variance_section(r));
    all.push_back(outputs_section(r));
    all.push_back(gap_section(r));
    all.push_back(batch_size_section(r));
    all.push_back(momentum_section(r));
    all.push_back(eps_section(r));
  }
  all.push_back(depth_section(r));
  all.push_back(distribution_section(r, false));
  all.push_back(distribution_section(r, true));
  all.push_back(pixels_section(r));
  return all;
}

std::string inspection_table(const Inspection& r) {
  std::string text = finding_of(r) + "\n";
  for (const InspectSection& s : inspection_sections(r))
    if (!s.table.rows.empty()) text += "\n" + s.title + "\n" + s.table.text();
  for (const std::string& note : r.notes) text += "\n" + note + "\n";
  text.pop_back();
  return text;
}

Json inspection_json(const Inspection& r) {
  Json state = Json::array();
  for (const StateEntry& e : r.after) {
    Json shape = Json::array();
    for (int64_t d : e.shape) shape.push_back(d);
    state.push_back({{"name", e.name},
                     {"symbol", e.symbol},
                     {"shape", shape},
                     {"dtype", name_of(e.dtype)},
                     {"mean", e.mean},
                     {"min", e.low},
                     {"max", e.high}});
  }
  Json j{{"layer", r.layer.empty() ? Json(nullptr) : Json(r.layer)},
         {"steps", r.steps},
         {"batch_size", r.batch_size},
         {"state", state}};
  if (!r.layer.empty()) {
    j["momentum"] = r.momentum ? Json(*r.momentum) : Json(nullptr);
    j["eps"] = r.eps;
    if (!r.statistics.empty()) j["statistics"] = statistics_json(r);
    for (const GapAt& g : r.gaps) j["gap"].push_back(gap_json(g, "step"));
    for (const GapAt& g : r.sizes) j["gap_by_batch_size"].push_back(gap_json(g, "batch_size"));
    for (const BatchVariance& v : r.variances)
      j["variance_by_batch_size"].push_back(
          {{"batch_size", v.size}, {"values", v.values}, {"biased", v.biased}, {"unbiased", v.unbiased}});
    for (const MomentumTrace& m : r.momenta)
      j["momenta"].push_back({{"momentum", m.momentum ? Json(*m.momentum) : Json(nullptr)},
                              {"mean_error", m.mean_error.back()},
                              {"var_error", m.var_error.back()},
                              {"floor", m.floor}});
    for (const EpsEffect& e : r.eps_effects)
      j["eps_effects"].push_back({{"eps", e.eps}, {"deviation", e.deviation}});
  }
  j["networks"] = runs_json(r);
  const NormalizedImage& n = r.image;
  j["normalize"] = {{"mean", n.mean},
                    {"std", n.std},
                    {"new_mean", n.new_mean},
                    {"new_std", n.new_std},
                    {"back_error", n.back.defined() ? Json(n.back_error) : Json(nullptr)}};
  j["notes"] = r.notes;
  return j;
}

std::vector<InspectionFile> inspection_files(const Inspection& r, const std::string& title,
                                             const std::string& command, const std::string& config,
                                             const std::string& environment) {
  const std::vector<InspectSection> sections = inspection_sections(r);
  std::vector<InspectionFile> files;
  for (const InspectSection& s : sections) {
    files.push_back({s.name + ".csv", s.numbers.csv()});
    if (!s.charts.empty()) files.push_back({s.name + ".png", png_of(s.charts, s.columns)});
  }
  files.push_back({"image.csv", panels_csv(r.image)});
  files.push_back({"image.png", panels_png(panels_of(r.image))});
  files.push_back({"report.html", page_of(r, sections, title, command, config, environment)});
  return files;
}

}  // namespace sigma::app
