#include "report/drawing.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "report/canvas.h"
#include "report/plot.h"
#include "report/words.h"

namespace sigma {
namespace {

constexpr double kBox = 250, kHigh = 36, kGap = 18, kMargin = 24, kTop = 64, kSide = 16, kBranch = 190;
constexpr size_t kRows = 28;          // boxes of a column, more where a line would be cut
constexpr double kMaxPixels = 16000;  // of a PNG's side

struct Layout {
  std::vector<size_t> column, row;  // of each box
  size_t columns = 1, rows = 0;
  double pitch = 0;  // of columns

  double x(size_t box) const { return kMargin + static_cast<double>(column[box]) * pitch; }
  double y(size_t box) const { return kTop + static_cast<double>(row[box]) * (kHigh + kGap); }
  double width() const { return 2 * kMargin + static_cast<double>(columns) * pitch; }
  double height() const { return kTop + static_cast<double>(rows) * (kHigh + kGap) + kMargin; }
};

Layout layout_of(const NetworkDrawing& n) {
  Layout l;
  int levels = 0;
  bool branches = false;
  for (const SkipLine& s : n.skips) {
    SIGMA_CHECK(s.first <= s.last && s.last <= n.boxes.size(), "drawing",
                "a line passes boxes {} to {} of {}", s.first, s.last, n.boxes.size());
    levels = std::max(levels, s.level + 1);
    branches |= !s.layers.empty();
  }
  l.pitch = kBox + 2 * kSide + levels * kSide + (branches ? kBranch : 0);
  size_t column = 0, row = 0;
  for (size_t i = 0; i < n.boxes.size(); ++i) {
    // A box that ends a line has its sum above it, so it stays with it.
    const bool open = std::any_of(n.skips.begin(), n.skips.end(),
                                  [&](const SkipLine& s) { return s.first < i && i <= s.last; });
    if (row >= kRows && !open) {
      ++column;
      row = 0;
    }
    l.column.push_back(column);
    l.row.push_back(row++);
    l.rows = std::max(l.rows, row);
  }
  l.columns = column + 1;
  return l;
}

Color color_of(const LayerBox& box) {
  Color c = box.parameters > 0 ? palette(0) : kMuted;
  c.alpha = box.parameters > 0 ? 0.18 : 0.1;
  return c;
}

void draw_box(Canvas& canvas, double x, double y, double width, const LayerBox& box) {
  canvas.rect(x, y, width, kHigh, color_of(box));
  canvas.polyline({{x, y}, {x + width, y}, {x + width, y + kHigh}, {x, y + kHigh}, {x, y}},
                  box.marked ? palette(1) : kMuted, box.marked ? 3 : 1);
  // A name that is too long loses its beginning.
  std::string name = box.name;
  const double room = width - 24 - canvas.text_width(box.kind, 11);
  while (name.size() > 4 && canvas.text_width(name, 12) > room)
    name = "..." + name.substr(name[0] == '.' ? 4 : 2);
  canvas.text(x + 8, y + 15, name, 12, kInk);
  canvas.text(x + width - 8, y + 15, box.kind, 11, kMuted, Anchor::end);
  canvas.text(x + 8, y + 30, box.shape, 10, kMuted);
  if (box.parameters > 0)
    canvas.text(x + width - 8, y + 30, thousands(box.parameters), 10, kMuted, Anchor::end);
}

void draw_arrow(Canvas& canvas, XY from, XY to) {
  canvas.polyline({from, to}, kInk, 1.2);
  canvas.polyline({{to.x - 3, to.y - 5}, to, {to.x + 3, to.y - 5}}, kInk, 1.2);
}

void draw_plus(Canvas& canvas, double x, double y) {
  std::vector<XY> circle;
  for (int i = 0; i <= 24; ++i)
    circle.push_back({x + 5 * std::cos(i * M_PI / 12), y + 5 * std::sin(i * M_PI / 12)});
  canvas.polyline(circle, kInk, 1.2);
  canvas.polyline({{x - 3, y}, {x + 3, y}}, kInk, 1.2);
  canvas.polyline({{x, y - 3}, {x, y + 3}}, kInk, 1.2);
}

void draw_skip(Canvas& canvas, const Layout& l, const SkipLine& s) {
  if (s.first == s.last) return;
  const double middle = l.x(s.first) + kBox / 2, right = l.x(s.first) + kBox + kSide * (1 + s.level),
               top = l.y(s.first) - kGap * 0.35, bottom = l.y(s.last - 1) + kHigh + kGap * 0.35;
  canvas.polyline({{middle, top}, {right, top}, {right, bottom}, {middle + 5, bottom}}, palette(1), 1.4);
  draw_plus(canvas, middle, bottom);
  const double high = static_cast<double>(s.layers.size()) * (kHigh + 4);
  double y = (top + bottom) / 2 - high / 2;
  for (const LayerBox& box : s.layers) {
    canvas.rect(right - 8, y, kBranch, kHigh, kWhite);
    draw_box(canvas, right - 8, y, kBranch, box);
    y += kHigh + 4;
  }
}

void draw(Canvas& canvas, const NetworkDrawing& n, const Layout& l) {
  canvas.text(kMargin, 24, n.title, 15, kInk);
  canvas.text(kMargin, 42, "input " + n.input, 11, kMuted);
  for (size_t i = 0; i < n.boxes.size(); ++i) {
    const double middle = l.x(i) + kBox / 2;
    if (i > 0 && l.row[i] > 0) draw_arrow(canvas, {middle, l.y(i - 1) + kHigh}, {middle, l.y(i)});
    if (i > 0 && l.row[i] == 0) {  // from the bottom of the column before
      const double from = l.x(i - 1) + kBox / 2, low = l.y(i - 1) + kHigh + kGap * 0.7,
                   between = l.x(i) - kSide / 2;
      canvas.polyline({{from, l.y(i - 1) + kHigh},
                       {from, low},
                       {between, low},
                       {between, l.y(i) - 12},
                       {middle, l.y(i) - 12}},
                      kInk, 1.2);
      draw_arrow(canvas, {middle, l.y(i) - 12}, {middle, l.y(i)});
    }
    draw_box(canvas, l.x(i), l.y(i), kBox, n.boxes[i]);
  }
  for (const SkipLine& s : n.skips) draw_skip(canvas, l, s);
}

}  // namespace

std::string to_svg(const NetworkDrawing& network) {
  const Layout l = layout_of(network);
  auto canvas = make_svg(l.width(), l.height());
  draw(*canvas, network, l);
  return canvas->finish();
}

std::string to_png(const NetworkDrawing& network) {
  const Layout l = layout_of(network);
  const double scale = std::min(2.0, kMaxPixels / std::max(l.width(), l.height()));
  auto canvas = make_png(l.width(), l.height(), scale);
  draw(*canvas, network, l);
  return canvas->finish();
}

}  // namespace sigma
