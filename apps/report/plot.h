// Charts: labelled axes with units, a legend, bands for the spread over seeds. One description, SVG or PNG.
//
//   Chart chart{"Training", "steps", "loss in nats", {{.label = "cnn", .x = steps, .y = losses}}};
//   write_file_atomic("loss.svg", to_svg({chart}));
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "report/canvas.h"

namespace sigma {

// From the lowest to the highest of the values that it is given, of those that are finite; none yet: low >
// high.
struct Limits {
  double low = INFINITY, high = -INFINITY;
  void take(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  double width() const { return high - low; }
};

struct Series {
  std::string label;              // empty: not in the legend
  std::vector<double> x, y;       // of one length; the line breaks where one is not finite
  std::vector<double> low, high;  // spread around y, both of that length, or both empty
  Color color;                    // see palette
  bool dashed = false;
};

// A cross with words beside it. One that lies beyond the axes stands at their edge.
struct Mark {
  double x = 0, y = 0;
  std::string text;
  Color color;
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  // Where the axes begin and end; else by the data. Lines are cut there.
  std::optional<double> y_min, y_max, x_min, x_max;
  bool log_x = false;   // values of 0 and less are not shown
  bool log_y = false;   // they lie on the axis
  bool filled = false;  // histograms: the area under each line
  std::string note;     // shown where there is nothing to draw
  std::vector<Mark> marks{};
};

// A heat map of counts, such as a confusion matrix, whose rows are the true classes. The stronger a cell, the
// larger its share of the row.
struct Matrix {
  std::string title, x_label, y_label;
  std::vector<std::string> names;            // of the classes
  std::vector<std::vector<int64_t>> counts;  // square, a row and a column for each name; not negative
};

// Charts side by side in `columns`, row after row. These and all below throw kind usage when lists differ in
// length, columns are fewer than one, counts are negative, or limits of an axis make none.
void draw(Canvas& canvas, const std::vector<Chart>& charts, int columns, double width, double height);
void draw(Canvas& canvas, const Matrix& matrix, double width, double height);

struct Size {
  double width, height;
};
// What to_svg and to_png take for them, of `each` chart this many units.
Size size_of(const std::vector<Chart>& charts, int columns, Size each = {640, 400});
// The file's bytes.
std::string to_svg(const std::vector<Chart>& charts, int columns = 1, Size each = {640, 400});
std::string to_png(const std::vector<Chart>& charts, int columns = 1, Size each = {640, 400});
std::string to_svg(const Matrix& matrix);
std::string to_png(const Matrix& matrix);

// Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
Color palette(size_t i);

}  // namespace sigma
