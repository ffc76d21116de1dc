#include "apps/experiments/page.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/report/csv.h"
#include "apps/report/page.h"
#include "apps/report/words.h"

namespace sigma::app {
namespace {

constexpr ErrorKind kKind = ErrorKind::checkpoint;

Verdict verdict_of(const std::string& words, const std::string& place) {
  for (Verdict v : {Verdict::reproduced, Verdict::partly, Verdict::not_reproduced})
    if (words_of(v) == words) return v;
  fail(kKind, place, "unknown verdict \"{}\"", words);
}

std::string sentence_case(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string cell(double v) { return std::isfinite(v) ? fmt::format("{:.6g}", v) : ""; }

}  // namespace

std::string chart_csv(const Chart& chart) {
  std::string text = "series," + csv_cell(chart.x_label) + "," + csv_cell(chart.y_label) + ",low,high\n";
  for (const Series& s : chart.series)
    for (size_t i = 0; i < s.x.size(); ++i)
      text += fmt::format("{},{},{},{},{}\n", csv_cell(s.label), cell(s.x[i]), cell(s.y[i]),
                          s.low.empty() ? "" : cell(s.low[i]), s.high.empty() ? "" : cell(s.high[i]));
  return text;
}

std::string experiment_html(const Tested& t) {
  const Experiment& e = t.experiment;
  Page page(e.name);
  page.finding(sentence_case(words_of(t.outcome.verdict)) + ". " + t.outcome.why);
  page.tiles({{words_of(t.outcome.verdict), "verdict"},
              {std::to_string(t.extent.seeds), t.extent.seeds == 1 ? "seed" : "seeds"},
              {time_text(t.seconds), "on this machine"}});
  page.section("The claim");
  page.paragraph(e.claim);
  page.paragraph("From " + e.paper + ", in our words.");
  page.section("What counts, fixed in advance");
  page.paragraph(e.rule);
  if (!t.extent.words.empty()) page.paragraph("This is a reduced size: " + t.extent.words + ".");
  if (!t.outcome.findings.empty()) {
    page.section("The numbers");
    page.paragraph(t.extent.seeds > 1 ? "Ours are medians over the seeds with their range, or means with a "
                                        "95% interval where it says so."
                                      : "Ours are of one seed.");
    std::vector<std::vector<std::string>> rows;
    for (const Finding& f : t.outcome.findings) rows.push_back({f.what, f.published, f.ours});
    page.table({"", "published", "ours"}, rows);
  }
  if (!t.outcome.plates.empty()) {
    page.section("Pictures");
    std::vector<Figure> figures;
    for (const Plate& p : t.outcome.plates)
      figures.push_back(
          {to_svg({p.chart}, 1, {440, 300}), fmt::format("{} Numbers: {}.csv.", p.caption, p.name)});
    page.figures(figures);
  }
  for (const std::string& note : t.outcome.notes) page.paragraph(note);
  page.section("To repeat it");
  page.preformatted(t.command);
  page.preformatted(t.environment, "The machine and the versions");
  return page.html();
}

Json outcome_json(const Tested& t) {
  Json findings = Json::array();
  for (const Finding& f : t.outcome.findings)
    findings.push_back({{"what", f.what}, {"published", f.published}, {"ours", f.ours}});
  return {{"experiment", t.experiment.name},
          {"paper", t.experiment.paper},
          {"claim", t.experiment.claim},
          {"rule", t.experiment.rule},
          {"extent", t.extent.name},
          {"steps", t.extent.steps},
          {"seeds", t.extent.seeds},
          {"verdict", words_of(t.outcome.verdict)},
          {"why", t.outcome.why},
          {"findings", findings},
          {"notes", t.outcome.notes},
          {"seconds", t.seconds},
          {"command", t.command}};
}

Tested tested_from(const Json& j, const Experiment& experiment, const std::string& place) {
  Tested t{experiment, {}, {}, 0, {}, {}};
  t.extent.name = json_get<std::string>(j, "extent", kKind, place);
  for (const Extent& e : experiment.extents)
    if (e.name == t.extent.name) t.extent = e;
  t.outcome.verdict = verdict_of(json_get<std::string>(j, "verdict", kKind, place), place);
  t.outcome.why = json_get<std::string>(j, "why", kKind, place);
  for (const Json& f : json_array(j, "findings", kKind, place))
    t.outcome.findings.push_back({json_get<std::string>(f, "what", kKind, place),
                                  json_get<std::string>(f, "published", kKind, place),
                                  json_get<std::string>(f, "ours", kKind, place)});
  t.seconds = json_get<double>(j, "seconds", kKind, place);
  t.command = json_get<std::string>(j, "command", kKind, place);
  return t;
}

std::string index_html(const std::vector<Tested>& all) {
  Page page("Published experiments, on this machine");
  auto count = [&](Verdict v) {
    return std::count_if(all.begin(), all.end(), [&](const Tested& t) { return t.outcome.verdict == v; });
  };
  page.finding(fmt::format("Of {}, {} reproduced, {} in part, {} not.",
                           count_text(static_cast<int64_t>(all.size()), "published claim"),
                           count(Verdict::reproduced), count(Verdict::partly),
                           count(Verdict::not_reproduced)));
  for (const Tested& t : all) {
    page.section(fmt::format("{}: {}", t.experiment.name, words_of(t.outcome.verdict)));
    page.paragraph(t.experiment.claim + " (" + t.experiment.paper + ")");
    page.paragraph(t.outcome.why);
    const std::string name = escape_html(t.experiment.name);
    page.raw(fmt::format("<p><a href=\"{0}/index.html\">Numbers and pictures of {0}</a></p>\n", name));
  }
  return page.html();
}

}  // namespace sigma::app
