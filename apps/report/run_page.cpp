#include "report/run_page.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "report/plot.h"
#include "report/run_page_parts.h"
#include "report/words.h"

namespace sigma {
namespace {

using run_page::class_name;

struct Counts {
  int64_t right = 0, all = 0, largest = 0;  // largest: of one class
};
Counts counts_of(const RunReport& run) {
  Counts n;
  const auto& confusion = run.result.confusion;
  for (size_t t = 0; t < confusion.size(); ++t) {
    int64_t row = 0;
    for (int64_t v : confusion[t]) row += v;
    n.right += confusion[t][t];
    n.all += row;
    n.largest = std::max(n.largest, row);
  }
  return n;
}

std::string epochs_text(double epochs) {
  return fmt::format("{:.3g} epoch{}", epochs, epochs == 1 ? "" : "s");
}

// Whether the weights at the end are the best that were measured, too.
bool best_is_last(const RunReport& run) {
  return !run.measured.empty() && run.best_epoch > 0 && run.measured.back().epoch == run.best_epoch;
}

void add_finding(Page& page, const RunReport& run) {
  const Counts n = counts_of(run);
  std::string text = fmt::format("After {} the network names {} of {} right, {}", epochs_text(run.epochs),
                                 thousands(n.right), count_text(n.all, run.result.part + " image"),
                                 percent_text(run.result.accuracy));
  text += n.all == 1 ? ": one that it was not trained on." : ": images that it was not trained on.";
  if (!run.confusions.empty()) {
    const RunReport::Taken& t = run.confusions[0];
    text +=
        fmt::format(" Its most frequent mistake: {} taken for {}, {} of {} times.", class_name(run, t.truth),
                    class_name(run, t.guess), thousands(t.images),
                    thousands(run.scores.empty() ? n.all : run.scores[static_cast<size_t>(t.truth)].images));
  } else if (n.all > 0 && n.right == n.all) {
    text += " It made no mistake on them.";
  }
  page.finding(text);
}

void add_tiles(Page& page, const RunReport& run) {
  const Counts n = counts_of(run);
  std::vector<Tile> tiles{{percent_text(run.result.accuracy),
                           fmt::format("right, of {}", count_text(n.all, run.result.part + " image"))}};
  if (run.best_epoch > 0 && run.measured.size() > 1)
    tiles.push_back({fmt::format("{:.3g}", run.best_epoch),
                     fmt::format("best epoch of {:.3g}: {} on {} images", run.epochs,
                                 percent_text(run.best_accuracy), run.measured_part)});
  tiles.push_back(
      {time_text(run.seconds), fmt::format("of training on {}", count_text(run.train_images, "image"))});
  tiles.push_back({thousands(run.parameters), run.parameters == 1 ? "parameter" : "parameters"});
  page.tiles(tiles);
}

// Which weights the numbers are of, and what `best` was chosen by.
void add_basis(Page& page, const RunReport& run) {
  std::string text = fmt::format(
      "All figures are of the weights at the end of the run{}, which weights/last.safetensors holds.",
      run.averaged ? ", running averages of those that were trained" : "");
  if (run.ended_early) text += " It ended before its time, as nothing had become better for a while.";
  const bool once = run.measured.size() == 1;
  if (once)
    text += fmt::format(
        " They were measured once, on {} images, so weights/best.safetensors holds the same: nothing was "
        "chosen.",
        run.measured_part);
  else if (best_is_last(run))
    text += " They are the best that were measured, and so weights/best.safetensors as well.";
  else if (run.best_epoch > 0)
    text += fmt::format(" weights/best.safetensors holds those of epoch {:.3g}, the best that were measured.",
                        run.best_epoch);
  page.paragraph(text);
  if (run.measured_part == "test" && !once)
    page.paragraph(
        "The best were chosen on the test images, since no images were set apart for validation. That "
        "flatters: the best of several looks at the same images does less well on new ones. " +
        run.how_to_validate);
  else if (run.measured_part != "test" && run.result.part == "test")
    page.paragraph(fmt::format(
        "The best were chosen on {} that were set apart from the training images, of which the network names "
        "{} right; the test images had no say in it.",
        count_text(run.validation_images, "validation image"),
        run.validation_accuracy ? percent_text(*run.validation_accuracy) : "some"));
  else if (run.measured_part != "test")
    page.paragraph(fmt::format(
        "There are no test images. The {} were set apart from the training images, but the best were chosen "
        "on them, which flatters.",
        count_text(run.validation_images, "validation image")));
  const Counts n = counts_of(run);
  if (n.all > 0 && run.class_names.size() > 1)
    page.paragraph(fmt::format("For comparison: always naming the most frequent class would be right for {}.",
                               percent_text(static_cast<double>(n.largest) / static_cast<double>(n.all))));
}

// As wide as a column of the page, so that its words stay legible on a phone.
std::string small_chart(const Chart& chart) { return to_svg({chart}, 1, {440, 310}); }

using Value = double RunReport::Measured::*;

// One quantity over the epochs, and a line where the best was.
Chart curve(const RunReport& run, const std::string& title, const std::string& unit, Value train, Value other,
            double factor) {
  Chart chart{title, "epoch", unit};
  Series a{"training", {}, {}, {}, {}, palette(0)}, b{run.measured_part, {}, {}, {}, {}, palette(1)};
  double low = INFINITY, high = -INFINITY;
  for (const RunReport::Measured& m : run.measured) {
    for (auto [series, value] : {std::pair{&a, m.*train}, std::pair{&b, m.*other}}) {
      series->x.push_back(m.epoch);
      series->y.push_back(factor * value);
      if (!std::isfinite(value)) continue;
      low = std::min(low, factor * value);
      high = std::max(high, factor * value);
    }
  }
  chart.series = {a, b};
  if (run.best_epoch > 0 && low < high)
    chart.series.push_back({"best", {run.best_epoch, run.best_epoch}, {low, high}, {}, {}, palette(2), true});
  return chart;
}

// What the curves say, where they say something.
std::string reading(const RunReport& run) {
  const auto lowest = std::min_element(run.measured.begin(), run.measured.end(),
                                       [](const auto& a, const auto& b) { return a.loss < b.loss; });
  const RunReport::Measured& last = run.measured.back();
  std::string text = fmt::format("At the end the loss is {:.3g} on {} images.", last.loss, run.measured_part);
  if (std::isfinite(last.train_loss))
    text = fmt::format("At the end the loss is {:.3g} on {} images and {:.3g} on training images.", last.loss,
                       run.measured_part, last.train_loss);
  if (last.loss > 1.05 * lowest->loss && last.train_loss < lowest->train_loss)
    text += fmt::format(
        " On {} images it was lowest at epoch {:.3g}, {:.3g}, and has risen since while that on training "
        "images "
        "went on falling: the network begins to learn its training images by heart.",
        run.measured_part, lowest->epoch, lowest->loss);
  return text;
}

void add_curves(Page& page, const RunReport& run) {
  if (run.measured.empty()) return;
  page.section("How it went");
  const bool some = run.measured.size() > 1 && run.measured.front().epoch < run.measured.back().epoch;
  if (!some) {
    page.paragraph(reading(run) + " It was measured once, so there is no curve to draw.");
    return;
  }
  using M = RunReport::Measured;
  page.figures(
      {{small_chart(curve(run, "Loss", "cross-entropy (nats)", &M::train_loss, &M::loss, 1)),
        "The loss, which training makes small: 0 where the network is certain and right."},
       {small_chart(curve(run, "Accuracy", "images named right (%)", &M::train_accuracy, &M::accuracy, 100)),
        "Of training images it is counted while they are trained on, so it is of the weights of a moment "
        "before."}});
  page.paragraph(reading(run));
  if (run.measured_some)
    page.paragraph(fmt::format("On the way only a part of the {} images was measured, at the end all.",
                               run.measured_part));
}

void add_samples(Page& page, const RunReport& run) {
  if (run.samples.empty()) return;
  page.section("What it was trained on");
  page.paragraph(fmt::format("{} of {}: on the left as {}, on the right as the network gets {}. {}",
                             run.samples.size() == 1 ? "A training image" : "Training images", run.data,
                             run.samples.size() == 1 ? "it is" : "they are",
                             run.samples.size() == 1 ? "it" : "them", run.normalization));
  std::vector<Figure> figures;
  int64_t width = 150;
  for (const RunReport::Sample& s : run.samples) {
    const std::string caption = printable(s.caption);
    const int64_t shown = s.raw.width * zoom_for(s.raw.width, run_page::kPicture);
    width = std::max(width, std::min<int64_t>(360, 2 * shown + 4));
    figures.push_back({pictures_html({s.raw, s.normalized}, run_page::kPicture, caption), caption});
  }
  page.gallery(figures, width);
}

void add_network(Page& page, const RunReport& run) {
  if (run.network.boxes.empty()) return;
  page.section("The network");
  const bool large = run.network.boxes.size() > 16;
  if (large)
    page.begin_fold(fmt::format("{} layers in a picture", static_cast<int64_t>(run.network.boxes.size())));
  page.raw("<div class=\"scroll\">" + to_svg(run.network) + "</div>\n");
  if (large) page.end_fold();
}

void add_settings(Page& page, const RunReport& run) {
  page.section("What was run");
  page.preformatted(run.command);
  if (run.settings.empty()) {
    page.paragraph("All settings are the defaults.");
  } else {
    page.paragraph("Settings that are not the default:");
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, value] : run.settings) rows.push_back({name, printable(value)});
    page.table({"setting", "value"}, rows);
  }
  page.preformatted(run.config, "All settings, config.json");
  page.preformatted(run.environment, "Machine and program, env.json");
}

}  // namespace

std::string report_html(const RunReport& run) {
  Page page(printable(fmt::format("Training: {} on {}", run.model, run.data)));
  add_finding(page, run);
  add_tiles(page, run);
  add_basis(page, run);
  add_curves(page, run);
  run_page::add_classes(page, run);
  run_page::add_mistakes(page, run);
  add_samples(page, run);
  add_network(page, run);
  add_settings(page, run);
  return page.html();
}

}  // namespace sigma
