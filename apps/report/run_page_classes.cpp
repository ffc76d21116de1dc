// The page of a run: confusions, scores of each class, and the mistakes that it is most certain of.
#include <algorithm>
#include <numeric>

#include "core/text.h"
#include "report/run_page_parts.h"
#include "report/words.h"

namespace sigma::run_page {
namespace {

constexpr size_t kRows = 20;  // of the scores that are shown at once

int64_t sum_of(const std::vector<int64_t>& row) {
  return std::accumulate(row.begin(), row.end(), int64_t{0});
}

// A share of a row, in percent; nothing for none.
std::string cell_text(int64_t part, int64_t whole) {
  if (part == 0) return "";
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  if (percent < 0.5) return "&lt;1";
  if (percent >= 99.5 && part < whole) return "&gt;99";
  return fmt::format("{:.0f}", percent);
}

// Blue what is right and orange what is not, the stronger the larger the share.
std::string cell(const RunReport& run, size_t truth, size_t guess, int64_t total) {
  const int64_t part = run.result.confusion[truth][guess];
  if (part == 0) return "<td></td>";
  const double share = static_cast<double>(part) / static_cast<double>(total);
  const std::string words = fmt::format(
      "true {}, said {}: {} ({})", class_name(run, static_cast<int64_t>(truth)),
      class_name(run, static_cast<int64_t>(guess)), count_text(part, "image"), percent_text(share));
  return fmt::format("<td style=\"background:rgba({},{:.2f}){}\" title=\"{}\">{}</td>",
                     truth == guess ? "0,114,178" : "213,94,0", 0.1 + 0.85 * std::sqrt(share),
                     share > 0.25 ? ";color:#fff" : "", escape_html(words), cell_text(part, total));
}

std::string matrix_html(const RunReport& run) {
  const size_t n = run.result.confusion.size();
  const bool turned =
      std::any_of(run.class_names.begin(), run.class_names.end(), [](auto& s) { return s.size() > 3; });
  std::string html = "<div class=\"scroll\"><table class=\"heat\"><tr><th></th>";
  for (size_t c = 0; c < n; ++c)
    html += fmt::format("<th{}>{}</th>", turned ? " class=\"turned\"" : "",
                        escape_html(class_name(run, static_cast<int64_t>(c))));
  html += "</tr>\n";
  for (size_t t = 0; t < n; ++t) {
    html += fmt::format("<tr><td>{}</td>", escape_html(class_name(run, static_cast<int64_t>(t))));
    const int64_t total = sum_of(run.result.confusion[t]);
    for (size_t g = 0; g < n; ++g) html += cell(run, t, g, total);
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

void add_confusions(Page& page, const RunReport& run) {
  if (run.confusions.empty()) return;
  page.paragraph("The most frequent confusions:");
  std::vector<std::vector<std::string>> rows;
  for (const RunReport::Taken& t : run.confusions)
    rows.push_back(
        {class_name(run, t.truth), class_name(run, t.guess), thousands(t.images), percent_text(t.share)});
  page.table({"true class", "said", "images", "of the class"}, rows);
}

// Classes without an image come last: of them nothing is known.
bool weaker(const RunReport::ClassScore& a, const RunReport::ClassScore& b) {
  if ((a.images > 0) != (b.images > 0)) return a.images > 0;
  return a.f1 < b.f1;
}

// What there is nothing to divide by for is no number.
std::vector<std::string> score_row(const RunReport& run, size_t c) {
  const RunReport::ClassScore& s = run.scores[c];
  int64_t said = 0;
  for (const std::vector<int64_t>& row : run.result.confusion) said += row[c];
  const auto text = [](bool known, double share) { return known ? percent_text(share) : "-"; };
  return {class_name(run, static_cast<int64_t>(c)), text(said > 0, s.precision), text(s.images > 0, s.recall),
          text(s.images > 0 || said > 0, s.f1), thousands(s.images)};
}

void add_scores(Page& page, const RunReport& run) {
  if (run.scores.empty()) return;
  std::vector<size_t> order(run.scores.size());
  std::iota(order.begin(), order.end(), 0);
  const bool many = order.size() > kRows;
  if (many)
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return weaker(run.scores[a], run.scores[b]); });
  page.section(many ? "Classes, the weakest first" : "Classes");
  page.paragraph(
      "Precision: of the images that were said to be of the class, how many are. Recall: of the images of "
      "the "
      "class, how many were found. F1 is their harmonic mean, which is high only where both are.");
  const std::vector<std::string> header{"class", "precision", "recall", "F1", "images"};
  std::vector<std::vector<std::string>> rows;
  for (size_t c : order) rows.push_back(score_row(run, c));
  page.table(header, {rows.begin(), rows.begin() + static_cast<int64_t>(std::min(kRows, rows.size()))});
  if (!many) return;
  page.begin_fold("The other " + count_text(static_cast<int64_t>(rows.size() - kRows), "class", "classes"));
  page.table(header, {rows.begin() + static_cast<int64_t>(kRows), rows.end()});
  page.end_fold();
}

}  // namespace

std::string class_name(const RunReport& run, int64_t c) {
  const auto i = static_cast<size_t>(c);
  return i < run.class_names.size() ? printable(run.class_names[i]) : std::to_string(c);
}

void add_classes(Page& page, const RunReport& run) {
  const auto& confusion = run.result.confusion;
  if (confusion.empty()) return;
  page.section("What it takes for what");
  const bool small = confusion.size() <= kMatrixClasses;
  if (small) {
    page.paragraph(fmt::format(
        "A row for each true class of the {} images, a column for what the network said, in percent of the "
        "row. Blue is right, orange is wrong, and empty is never.",
        run.result.part));
    page.raw("<div class=\"figures\"><div>\n" + matrix_html(run) + "</div><div>\n");
  } else {
    page.paragraph(
        fmt::format("The table of all {} classes is in confusion.csv, beside this page.", confusion.size()));
  }
  add_confusions(page, run);
  if (small) page.raw("</div></div>\n");
  add_scores(page, run);
}

void add_mistakes(Page& page, const RunReport& run) {
  if (run.mistakes.empty()) return;
  page.section(run.mistakes.size() == 1 ? "The mistake it is most certain of"
                                        : "Mistakes it is most certain of");
  const bool heat = std::any_of(run.mistakes.begin(), run.mistakes.end(),
                                [](const RunReport::Mistake& m) { return !m.heat.pixels.empty(); });
  if (heat)
    page.paragraph(
        "Beside each image, Grad-CAM: light is where what the last layer with places sees speaks for the "
        "wrong answer, dark is where nothing does. Where all is dark, no place speaks for it more than "
        "against it.");
  else if (!run.no_heat.empty())
    page.paragraph(run.no_heat);
  std::vector<Figure> figures;
  int64_t width = 150;
  for (const RunReport::Mistake& m : run.mistakes) {
    const std::string words = fmt::format("true {}, said {} with {}", class_name(run, m.truth),
                                          class_name(run, m.guess), percent_text(m.probability));
    const int64_t shown = m.image.width * zoom_for(m.image.width, kPicture);
    width = std::max(width, std::min<int64_t>(360, heat ? 2 * shown + 4 : shown));
    figures.push_back({pictures_html({m.image, m.heat}, kPicture, words),
                       m.file.empty() ? words : words + "\n" + printable(m.file)});
  }
  page.gallery(figures, width);
}

}  // namespace sigma::run_page
