// Charts: labelled axes with units, a legend, bands for the spread over seeds. One description, SVG or PNG.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/report/canvas.h"

namespace sigma {

struct Series {
  std::string label;              // empty: not in the legend
  std::vector<double> x, y;       // a NaN in y ends the line
  std::vector<double> low, high;  // spread; may be empty
  Color color;
  bool dashed = false;
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  std::optional<double> y_min, y_max;
  bool log_x = false;
  bool log_y = false;
  bool filled = false;  // histograms: the area under each line
  std::string note;     // shown where there is nothing to draw
};

struct Matrix {  // a heat map of counts, rows are true classes
  std::string title, x_label, y_label;
  std::vector<std::string> names;
  std::vector<std::vector<int64_t>> counts;
};

// Charts side by side in `columns`.
void draw(Canvas& canvas, const std::vector<Chart>& charts, int columns, double width, double height);
void draw(Canvas& canvas, const Matrix& matrix, double width, double height);

struct Size {
  double width, height;
};
Size size_of(const std::vector<Chart>& charts, int columns);
std::string to_svg(const std::vector<Chart>& charts, int columns = 1);
std::string to_png(const std::vector<Chart>& charts, int columns = 1);
std::string to_svg(const Matrix& matrix);
std::string to_png(const Matrix& matrix);

// Colours that stay apart for colour-blind readers (Okabe and Ito 2008).
Color palette(size_t i);

}  // namespace sigma
