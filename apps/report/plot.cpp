#include "report/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace sigma {
namespace {

// Beyond, the length of an axis or its first tick is no double.
bool drawable(double v, bool log = false) { return std::fabs(v) < 1e300 && (!log || v > 1e-300); }

void check(const std::vector<Chart>& charts, int columns) {
  SIGMA_CHECK(columns >= 1, "chart", "expected at least one column, got {}", columns);
  for (const Chart& chart : charts) {
    for (const Series& s : chart.series) {
      SIGMA_CHECK(s.x.size() == s.y.size(), "chart", "{}: expected as many y as x, {}, got {}", s.label,
                  s.x.size(), s.y.size());
      SIGMA_CHECK(s.low.size() == s.high.size() && (s.low.empty() || s.low.size() == s.x.size()), "chart",
                  "{}: expected {} values of low and of high, or none, got {} and {}", s.label, s.x.size(),
                  s.low.size(), s.high.size());
    }
    for (const std::optional<double>& limit : {chart.y_min, chart.y_max})
      SIGMA_CHECK(!limit || drawable(*limit, chart.log_y), "chart",
                  "expected a finite limit of the axis, above 0 on a logarithmic one, got {}", *limit);
    SIGMA_CHECK(!chart.y_min || !chart.y_max || *chart.y_min < *chart.y_max, "chart",
                "expected y_min below y_max, got {} and {}", *chart.y_min, *chart.y_max);
    for (const std::optional<double>& limit : {chart.x_min, chart.x_max})
      SIGMA_CHECK(!limit || drawable(*limit, chart.log_x), "chart",
                  "expected a finite limit of the axis, above 0 on a logarithmic one, got {}", *limit);
    SIGMA_CHECK(!chart.x_min || !chart.x_max || *chart.x_min < *chart.x_max, "chart",
                "expected x_min below x_max, got {} and {}", *chart.x_min, *chart.x_max);
  }
}

void check(const Matrix& m) {
  SIGMA_CHECK(!m.names.empty() && m.counts.size() == m.names.size(), "matrix",
              "expected a row for each of {} names, got {}", m.names.size(), m.counts.size());
  for (const std::vector<int64_t>& row : m.counts) {
    SIGMA_CHECK(row.size() == m.names.size(), "matrix", "expected {} columns, got {}", m.names.size(),
                row.size());
    for (int64_t count : row) SIGMA_CHECK(count >= 0, "matrix", "expected counts, got {}", count);
  }
}

struct Axis {
  double low = 0, high = 1;
  bool log = false;
  double map(double v, double from, double to) const {
    double a = log ? std::log10(low) : low, b = log ? std::log10(high) : high, t = log ? std::log10(v) : v;
    return from + (to - from) * (t - a) / (b - a);
  }
  // Round positions: 1, 2 or 5 times a power of ten.
  std::vector<double> ticks(int about) const {
    std::vector<double> out;
    if (log) {
      for (double p = std::pow(10, std::floor(std::log10(low))); p <= high * 1.0001; p *= 10)
        for (double k : {1., 2., 5.})
          if (k * p >= low * .9999 && k * p <= high * 1.0001 && (k == 1 || high / low < 200))
            out.push_back(k * p);
      return out;
    }
    double raw = (high - low) / about, power = std::pow(10, std::floor(std::log10(raw))), step = power;
    for (double k : {1., 2., 5., 10.})
      if (k * power >= raw * .999) {
        step = k * power;
        break;
      }
    for (double v = std::ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step)
      out.push_back(std::fabs(v) < step * 1e-9 ? 0 : v);
    return out;
  }
};

std::string number(double v) {
  double a = std::fabs(v);
  if (a != 0 && (a >= 1e6 || a < 1e-3)) return fmt::format("{:.0e}", v);
  if (a >= 10000) return fmt::format("{:g}k", v / 1000);
  return fmt::format("{:.4g}", v);
}

Axis fit(const Chart& chart, bool vertical) {
  Axis axis;
  axis.log = vertical ? chart.log_y : chart.log_x;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  auto take = [&](double v) {
    if (!drawable(v, axis.log)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  };
  for (const Series& s : chart.series) {
    for (double v : vertical ? s.y : s.x) take(v);
    if (vertical) {
      for (double v : s.low) take(v);
      for (double v : s.high) take(v);
    }
  }
  if (!(low <= high)) {
    low = axis.log ? 1e-3 : 0;
    high = 1;
  }
  if (vertical && chart.filled && !axis.log) low = 0;
  const std::optional<double>&from = vertical ? chart.y_min : chart.x_min,
        &to = vertical ? chart.y_max : chart.x_max;
  if (from) low = *from;
  if (to) high = *to;
  // Values that are all the same, or differ in their last digits, where steps along the axis would not add
  // up.
  if (high - low <= 1e-9 * std::fabs(low))
    high = axis.log ? low * 10 : low + std::max(1.0, 1e-3 * std::fabs(low));
  if (vertical && !chart.y_max) high = axis.log ? high * 1.3 : high + (high - low) * .06;
  axis.low = low;
  axis.high = high;
  return axis;
}

constexpr double kText = 12;  // size of labels

// The inner rectangle of a chart, its axes, and what is drawn in it.
class Plot {
 public:
  Plot(Canvas& canvas, const Chart& chart, double x, double y, double w, double h)
      : c_(canvas), chart_(chart), left_(x + 62), right_(x + w - 16), top_(y + 34) {
    const bool legend = chart.series.size() > 1 || (!chart.series.empty() && !chart.series[0].label.empty());
    bottom_ = y + h - 46 - (legend ? 18 * legend_rows() : 0);
    c_.text(x + w / 2, y + 20, chart.title, 14, kInk, Anchor::middle);
    axes(x);
    for (const Series& s : chart.series) {
      if (!s.low.empty()) spread(s);
      line(s);
    }
    draw_marks();
    if (legend) draw_legend();
  }

 private:
  double px(double v) const { return ax_.map(v, left_, right_); }
  double py(double v) const {
    return std::clamp(ay_.map(std::max(v, ay_.log ? ay_.low : v), bottom_, top_), top_, bottom_);
  }

  // The legend stands below the plot, in as many rows as it needs: fn(series, x, row).
  template <class Fn>
  int each_label(Fn fn) const {
    int row = 0;
    double at = left_;
    for (const Series& s : chart_.series) {
      if (s.label.empty()) continue;
      const double need = 34 + c_.text_width(s.label, kText);
      if (at + need > right_ && at > left_) {
        ++row;
        at = left_;
      }
      fn(s, at, row);
      at += need + 12;
    }
    return row + 1;
  }
  int legend_rows() const {
    return each_label([](const Series&, double, int) {});
  }
  void draw_legend() const {
    each_label([&](const Series& s, double x, int row) {
      const double y = bottom_ + 54 + 18 * row;
      c_.polyline({{x, y - 4}, {x + 24, y - 4}}, s.color, 2.5, s.dashed);
      c_.text(x + 30, y, s.label, kText, kInk);
    });
  }

  void draw_marks() const {
    for (const Mark& m : chart_.marks) {
      const double x = std::clamp(px(std::clamp(m.x, ax_.low, ax_.high)), left_ + 6, right_ - 6),
                   y = std::clamp(py(std::clamp(m.y, ay_.low, ay_.high)), top_ + 6, bottom_ - 6);
      c_.polyline({{x - 5, y - 5}, {x + 5, y + 5}}, m.color, 2.5);
      c_.polyline({{x - 5, y + 5}, {x + 5, y - 5}}, m.color, 2.5);
      const bool fits = x + 10 + c_.text_width(m.text, kText) < right_;
      c_.text(fits ? x + 10 : x - 10, y + 4, m.text, kText, kInk, fits ? Anchor::start : Anchor::end);
    }
  }

  void axes(double x) const {
    for (double t : ay_.ticks(6)) {
      const double at = ay_.map(t, bottom_, top_);
      c_.polyline({{left_, at}, {right_, at}}, kGrid, 1);
      c_.text(left_ - 6, at + 4, number(t), kText, kMuted, Anchor::end);
    }
    double last_label = -1e9;
    for (double t : ax_.ticks(std::max(3, static_cast<int>((right_ - left_) / 70)))) {
      const double at = px(t);
      c_.polyline({{at, top_}, {at, bottom_}}, kGrid, 1);
      if (at - last_label <= 34) continue;
      c_.text(at, bottom_ + 16, number(t), kText, kMuted, Anchor::middle);
      last_label = at;
    }
    c_.polyline({{left_, top_}, {left_, bottom_}, {right_, bottom_}}, kMuted, 1);
    c_.text((left_ + right_) / 2, bottom_ + 34, chart_.x_label, kText, kInk, Anchor::middle);
    c_.text(x + 16, (top_ + bottom_) / 2, chart_.y_label, kText, kInk, Anchor::middle, true);
    if (!chart_.note.empty())
      c_.text((left_ + right_) / 2, (top_ + bottom_) / 2, chart_.note, kText, kMuted, Anchor::middle);
  }

  // The band between `low` and `high`, broken where they are not finite.
  void spread(const Series& s) const {
    std::vector<double> x, low, high;
    auto flush = [&] {
      Color soft = s.color;
      soft.alpha = .16;
      if (x.size() > 1) c_.band(x, low, high, soft);
      for (auto* v : {&x, &low, &high}) v->clear();
    };
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!drawable(s.x[i], ax_.log) || !drawable(s.low[i]) || !drawable(s.high[i])) {
        flush();
        continue;
      }
      x.push_back(px(s.x[i]));
      low.push_back(py(s.low[i]));
      high.push_back(py(s.high[i]));
    }
    flush();
  }

  // Between two points that are drawable: the part of it within the vertical axis, where the axis is cut.
  bool cut(XY& a, XY& b) const {
    if ((a.y < top_ && b.y < top_) || (a.y > bottom_ && b.y > bottom_)) return false;
    auto pull = [](XY& p, const XY& q, double y) { p = {p.x + (q.x - p.x) * (y - p.y) / (q.y - p.y), y}; };
    const XY from = a, to = b;
    if (from.y < top_) pull(a, to, top_);
    if (from.y > bottom_) pull(a, to, bottom_);
    if (to.y < top_) pull(b, from, top_);
    if (to.y > bottom_) pull(b, from, bottom_);
    return true;
  }

  void line(const Series& s) const {
    std::vector<XY> run;
    std::optional<XY> last;
    auto flush = [&] {
      piece(s, run);
      run.clear();
    };
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!drawable(s.x[i], ax_.log) || !drawable(s.y[i])) {
        flush();
        last.reset();
        continue;
      }
      const XY here{px(s.x[i]), ay_.map(std::max(s.y[i], ay_.log ? ay_.low : s.y[i]), bottom_, top_)};
      XY a = last.value_or(here), b = here;
      last = here;
      if (!cut(a, b)) {
        flush();
        continue;
      }
      if (!run.empty() && (run.back().x != a.x || run.back().y != a.y)) flush();
      if (run.empty() && (a.x != b.x || a.y != b.y)) run.push_back(a);
      run.push_back(b);
    }
    flush();
  }
  void piece(const Series& s, const std::vector<XY>& run) const {
    if (chart_.filled && run.size() > 1) {
      std::vector<double> x, low(run.size(), bottom_), high;
      for (const XY& p : run) {
        x.push_back(p.x);
        high.push_back(p.y);
      }
      Color soft = s.color;
      soft.alpha = .25;
      c_.band(x, low, high, soft);
    }
    if (run.size() == 1) c_.rect(run[0].x - 2, run[0].y - 2, 4, 4, s.color);
    if (run.size() > 1) c_.polyline(run, s.color, 2, s.dashed);
  }

  Canvas& c_;
  const Chart& chart_;
  Axis ax_ = fit(chart_, false), ay_ = fit(chart_, true);
  double left_, right_, top_, bottom_ = 0;
};

}  // namespace

Color palette(size_t i) {
  static const Color colors[] = {{0, 114, 178}, {213, 94, 0},   {0, 158, 115}, {204, 121, 167},
                                 {230, 159, 0}, {86, 180, 233}, {90, 90, 90}};
  return colors[i % 7];
}

void draw(Canvas& canvas, const std::vector<Chart>& charts, int columns, double width, double height) {
  check(charts, columns);
  int rows = (static_cast<int>(charts.size()) + columns - 1) / columns;
  double w = width / columns, h = height / std::max(1, rows);
  for (size_t i = 0; i < charts.size(); ++i) {
    const int row = static_cast<int>(i) / columns, column = static_cast<int>(i) % columns;
    Plot(canvas, charts[i], w * column, h * row, w, h);
  }
}

void draw(Canvas& c, const Matrix& m, double width, double height) {
  check(m);
  size_t n = m.counts.size();
  double longest = 0;
  for (const std::string& name : m.names) longest = std::max(longest, c.text_width(name, 11));
  double left = 46 + longest, top = 40, bottom = 52 + longest;
  double cell = std::min((width - left - 16) / static_cast<double>(n),
                         (height - top - bottom) / static_cast<double>(n));
  c.text(width / 2, 22, m.title, 14, kInk, Anchor::middle);
  for (size_t i = 0; i < n; ++i) {
    int64_t total = 0;
    for (int64_t k : m.counts[i]) total += k;
    for (size_t j = 0; j < n; ++j) {
      double share = total ? static_cast<double>(m.counts[i][j]) / static_cast<double>(total) : 0,
             x = left + cell * static_cast<double>(j), y = top + cell * static_cast<double>(i);
      c.rect(x, y, cell - 1, cell - 1, {0, 114, 178, .04 + .96 * std::sqrt(share)});
      if (cell >= 20 && m.counts[i][j])
        c.text(x + cell / 2, y + cell / 2 + 4, std::to_string(m.counts[i][j]), std::min(11.0, cell / 3.2),
               share > .3 ? kWhite : kInk, Anchor::middle);
    }
    if (cell >= 9) {
      c.text(left - 6, top + cell * (static_cast<double>(i) + .5) + 4, m.names[i], 11, kInk, Anchor::end);
      c.text(left + cell * (static_cast<double>(i) + .5) + 4, top + cell * static_cast<double>(n) + 8,
             m.names[i], 11, kInk, Anchor::end, true);
    }
  }
  c.text(left + cell * static_cast<double>(n) / 2, height - 10, m.x_label, 12, kInk, Anchor::middle);
  c.text(18, top + cell * static_cast<double>(n) / 2, m.y_label, 12, kInk, Anchor::middle, true);
}

Size size_of(const std::vector<Chart>& charts, int columns, Size each) {
  check(charts, columns);
  int rows = std::max(1, (static_cast<int>(charts.size()) + columns - 1) / columns);
  return {each.width * columns, each.height * rows};
}

namespace {
template <class What>
std::string render(std::unique_ptr<Canvas> canvas, const What& what, Size s, int columns) {
  if constexpr (std::is_same_v<What, Matrix>)
    draw(*canvas, what, s.width, s.height);
  else
    draw(*canvas, what, columns, s.width, s.height);
  return canvas->finish();
}
Size size_of(const Matrix& m) {
  double side = std::clamp(34.0 * static_cast<double>(m.counts.size()), 340.0, 900.0);
  return {side + 190, side + 190};
}
}  // namespace

std::string to_svg(const std::vector<Chart>& charts, int columns, Size each) {
  Size s = size_of(charts, columns, each);
  return render(make_svg(s.width, s.height), charts, s, columns);
}
std::string to_png(const std::vector<Chart>& charts, int columns, Size each) {
  Size s = size_of(charts, columns, each);
  return render(make_png(s.width, s.height), charts, s, columns);
}
std::string to_svg(const Matrix& m) {
  return render(make_svg(size_of(m).width, size_of(m).height), m, size_of(m), 1);
}
std::string to_png(const Matrix& m) {
  return render(make_png(size_of(m).width, size_of(m).height), m, size_of(m), 1);
}

}  // namespace sigma
