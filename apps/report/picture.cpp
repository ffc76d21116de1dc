#include "report/picture.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "report/canvas.h"
#include "report/page.h"

namespace sigma {
namespace {

void check(const Picture& p) {
  SIGMA_CHECK(p.height >= 1 && p.width >= 1 && (p.channels == 1 || p.channels == 3) &&
                  static_cast<int64_t>(p.pixels.size()) == p.height * p.width * p.channels,
              "picture", "expected {}x{}x{} pixels of one or three channels, got {} bytes", p.height, p.width,
              p.channels, p.pixels.size());
}

}  // namespace

int zoom_for(int64_t width, int64_t wanted) {
  return static_cast<int>(std::max<int64_t>(1, wanted / std::max<int64_t>(1, width)));
}

std::string pictures_html(const std::vector<Picture>& pictures, int64_t wanted, const std::string& text) {
  std::string html = "<span class=\"pictures\">";
  for (const Picture& p : pictures) {
    if (p.pixels.empty()) continue;
    check(p);
    const int zoom = zoom_for(p.width, wanted);
    html += fmt::format("<img src=\"data:image/png;base64,{}\" style=\"width:{}px\" alt=\"{}\"{}/>",
                        base64(encode_png(p.height, p.width, p.channels, p.pixels.data())), p.width * zoom,
                        escape_html(text), zoom > 1 ? " class=\"pixels\"" : "");
  }
  return html + "</span>";
}

std::string explained_png(const Picture& image, const Picture& heat, const std::vector<std::string>& words) {
  check(image);
  check(heat);
  constexpr double kMargin = 12, kGap = 12, kTop = 26, kLine = 22, kSize = 14;
  const auto width_of = [](const Picture& p) {
    return static_cast<double>(p.width * zoom_for(p.width, 224));
  };
  const auto height_of = [](const Picture& p) {
    return static_cast<double>(p.height * zoom_for(p.width, 224));
  };
  const double side = std::max(120.0, width_of(image)), below = std::max(height_of(image), height_of(heat));
  double width = side + kGap + std::max(120.0, width_of(heat));
  const auto ruler = make_png(1, 1, 1);
  for (const std::string& line : words) width = std::max(width, ruler->text_width(line, kSize));
  const auto canvas = make_png(std::ceil(width) + 2 * kMargin,
                               kTop + below + kLine * static_cast<double>(words.size()) + kMargin);
  const auto show = [&](double x, const Picture& p, const char* what) {
    canvas->text(x, kTop - 8, what, 12, kMuted);
    canvas->image(x, kTop, p.height, p.width, p.channels, p.pixels.data(), zoom_for(p.width, 224));
  };
  show(kMargin, image, "image");
  show(kMargin + side + kGap, heat, "where it looked");
  for (size_t i = 0; i < words.size(); ++i)
    canvas->text(kMargin, kTop + below + kLine * static_cast<double>(i + 1) - 4, words[i], kSize, kInk);
  return canvas->finish();
}

}  // namespace sigma
