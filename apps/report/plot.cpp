#include "apps/report/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sigma::app {
namespace {

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
    if (!std::isfinite(v) || (axis.log && v <= 0)) return;
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
  if (!(low <= high)) low = axis.log ? 1e-3 : 0, high = 1;
  if (vertical && chart.filled && !axis.log) low = 0;
  if (vertical && chart.y_min) low = *chart.y_min;
  if (vertical && chart.y_max) high = *chart.y_max;
  if (high <= low) high = axis.log ? low * 10 : low + 1;
  if (vertical && !chart.y_max) high = axis.log ? high * 1.3 : high + (high - low) * .06;
  axis.low = low;
  axis.high = high;
  return axis;
}

void draw_one(Canvas& c, const Chart& chart, double x, double y, double w, double h) {
  const double size = 12, left = x + 62, right = x + w - 16, top = y + 34, bottom_full = y + h - 46;
  // The legend stands below the plot, in as many rows as it needs.
  double legend_rows = 1, cursor = left;
  for (const Series& s : chart.series) {
    if (s.label.empty()) continue;
    double need = 34 + c.text_width(s.label, size);
    if (cursor + need > right && cursor > left) legend_rows += 1, cursor = left;
    cursor += need + 12;
  }
  bool legend = chart.series.size() > 1 || (!chart.series.empty() && !chart.series[0].label.empty());
  double bottom = bottom_full - (legend ? legend_rows * 18 : 0);
  Axis ax = fit(chart, false), ay = fit(chart, true);
  c.text(x + w / 2, y + 20, chart.title, 14, kInk, Anchor::middle);
  for (double t : ay.ticks(6)) {
    double py = ay.map(t, bottom, top);
    c.polyline({{left, py}, {right, py}}, kGrid, 1);
    c.text(left - 6, py + 4, number(t), size, kMuted, Anchor::end);
  }
  double last_label = -1e9;
  for (double t : ax.ticks(std::max(3, static_cast<int>((right - left) / 90)))) {
    double px = ax.map(t, left, right);
    c.polyline({{px, top}, {px, bottom}}, kGrid, 1);
    if (px - last_label > 34)
      c.text(px, bottom + 16, number(t), size, kMuted, Anchor::middle), last_label = px;
  }
  c.polyline({{left, top}, {left, bottom}, {right, bottom}}, kMuted, 1);
  c.text((left + right) / 2, bottom + 34, chart.x_label, size, kInk, Anchor::middle);
  c.text(x + 16, (top + bottom) / 2, chart.y_label, size, kInk, Anchor::middle, true);
  if (!chart.note.empty())
    c.text((left + right) / 2, (top + bottom) / 2, chart.note, size, kMuted, Anchor::middle);

  auto py = [&](double v) {
    return std::clamp(ay.map(std::max(v, ay.log ? ay.low : v), bottom, top), top, bottom);
  };
  for (const Series& s : chart.series) {
    if (!s.low.empty()) {
      std::vector<double> bx, bl, bh;
      auto flush = [&] {
        Color soft = s.color;
        soft.alpha = .16;
        if (bx.size() > 1) c.band(bx, bl, bh, soft);
        bx.clear(), bl.clear(), bh.clear();
      };
      for (size_t i = 0; i < s.x.size(); ++i) {
        if (!std::isfinite(s.low[i]) || !std::isfinite(s.high[i])) {
          flush();
          continue;
        }
        bx.push_back(ax.map(s.x[i], left, right)), bl.push_back(py(s.low[i])), bh.push_back(py(s.high[i]));
      }
      flush();
    }
    std::vector<XY> run;
    auto flush = [&] {
      if (chart.filled && run.size() > 1) {
        std::vector<double> bx, bl, bh;
        for (const XY& p : run) bx.push_back(p.x), bl.push_back(bottom), bh.push_back(p.y);
        Color soft = s.color;
        soft.alpha = .25;
        c.band(bx, bl, bh, soft);
      }
      if (run.size() == 1) c.rect(run[0].x - 2, run[0].y - 2, 4, 4, s.color);
      if (run.size() > 1) c.polyline(run, s.color, 2, s.dashed);
      run.clear();
    };
    for (size_t i = 0; i < s.x.size(); ++i) {
      bool drawable = std::isfinite(s.y[i]) && !(ax.log && s.x[i] <= 0);
      if (drawable)
        run.push_back({ax.map(s.x[i], left, right), py(s.y[i])});
      else
        flush();
    }
    flush();
  }
  if (!legend) return;
  double lx = left, ly = bottom + 54;
  for (const Series& s : chart.series) {
    if (s.label.empty()) continue;
    double need = 34 + c.text_width(s.label, size);
    if (lx + need > right && lx > left) lx = left, ly += 18;
    c.polyline({{lx, ly - 4}, {lx + 24, ly - 4}}, s.color, 2.5, s.dashed);
    c.text(lx + 30, ly, s.label, size, kInk);
    lx += need + 12;
  }
}

constexpr double kCellWidth = 640, kCellHeight = 400;

}  // namespace

Color palette(size_t i) {
  static const Color colors[] = {{0, 114, 178}, {213, 94, 0},   {0, 158, 115}, {204, 121, 167},
                                 {230, 159, 0}, {86, 180, 233}, {90, 90, 90}};
  return colors[i % 7];
}

void draw(Canvas& canvas, const std::vector<Chart>& charts, int columns, double width, double height) {
  int rows = (static_cast<int>(charts.size()) + columns - 1) / columns;
  double w = width / columns, h = height / std::max(1, rows);
  for (size_t i = 0; i < charts.size(); ++i) {
    auto k = static_cast<int>(i);
    draw_one(canvas, charts[i], w * (k % columns), h * (k / columns), w, h);
  }
}

void draw(Canvas& c, const Matrix& m, double width, double height) {
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

Size size_of(const std::vector<Chart>& charts, int columns) {
  int rows = std::max(1, (static_cast<int>(charts.size()) + columns - 1) / columns);
  return {kCellWidth * columns, kCellHeight * rows};
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

std::string to_svg(const std::vector<Chart>& charts, int columns) {
  Size s = size_of(charts, columns);
  return render(make_svg(s.width, s.height), charts, s, columns);
}
std::string to_png(const std::vector<Chart>& charts, int columns) {
  Size s = size_of(charts, columns);
  return render(make_png(s.width, s.height), charts, s, columns);
}
std::string to_svg(const Matrix& m) {
  return render(make_svg(size_of(m).width, size_of(m).height), m, size_of(m), 1);
}
std::string to_png(const Matrix& m) {
  return render(make_png(size_of(m).width, size_of(m).height), m, size_of(m), 1);
}

}  // namespace sigma::app
