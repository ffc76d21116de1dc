
#include <fmt/core.h>

#include "report/canvas.h"
#include "report/page.h"

namespace sigma {
namespace {

std::string hex(Color c) { return fmt::format("#{:02x}{:02x}{:02x}", c.r, c.g, c.b); }

// Marks the colours that stand for ink and paper, so that a dark page can change them (see page.cpp).
std::string role(Color c) {
  const std::pair<Color, const char*> roles[] = {
      {kInk, "ink"}, {kMuted, "muted"}, {kGrid, "grid"}, {kWhite, "paper"}};
  for (const auto& [color, name] : roles)
    if (color.r == c.r && color.g == c.g && color.b == c.b) return fmt::format(" class=\"{}\"", name);
  return "";
}

class Svg : public Canvas {
 public:
  Svg(double width, double height)
      : out_(fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" "
                         "width=\"{0:g}\" height=\"{1:g}\" "
                         "font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<rect width=\"100%\" "
                         "height=\"100%\" fill=\"#ffffff\" class=\"paper\"/>\n",
                         width, height)) {}
  void polyline(const std::vector<XY>& points, Color c, double width, bool dashed) override {
    std::string list;
    for (const XY& p : points) list += fmt::format("{:.2f},{:.2f} ", p.x, p.y);
    out_ += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{:g}\" stroke-opacity=\"{:g}\" "
        "stroke-linejoin=\"round\"{}{}/>\n",
        list, hex(c), width, c.alpha, role(c), dashed ? " stroke-dasharray=\"6 4\"" : "");
  }
  void band(const std::vector<double>& x, const std::vector<double>& low, const std::vector<double>& high,
            Color c) override {
    std::string list;
    for (size_t i = 0; i < x.size(); ++i) list += fmt::format("{:.2f},{:.2f} ", x[i], low[i]);
    for (size_t i = x.size(); i-- > 0;) list += fmt::format("{:.2f},{:.2f} ", x[i], high[i]);
    out_ += fmt::format("<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"{:g}\"{}/>\n", list, hex(c),
                        c.alpha, role(c));
  }
  void rect(double x, double y, double w, double h, Color c) override {
    out_ += fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\" "
        "fill-opacity=\"{:g}\"{}/>\n",
        x, y, w, h, hex(c), c.alpha, role(c));
  }
  void text(double x, double y, const std::string& t, double size, Color c, Anchor anchor,
            bool turned) override {
    const char* names[] = {"start", "middle", "end"};
    std::string turn = turned ? fmt::format(" transform=\"rotate(-90 {:.2f} {:.2f})\"", x, y) : "";
    out_ += fmt::format(
        "<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{:g}\" fill=\"{}\" text-anchor=\"{}\"{}{}>{}</text>\n",
        x, y, size, hex(c), names[static_cast<int>(anchor)], role(c), turn, escape_html(t));
  }
  double text_width(const std::string& t, double size) const override {
    return 0.58 * size * static_cast<double>(t.size());
  }
  void image(double x, double y, int64_t h, int64_t w, int64_t channels, const uint8_t* pixels,
             int zoom) override {
    out_ += fmt::format(
        "<image x=\"{:.2f}\" y=\"{:.2f}\" width=\"{}\" height=\"{}\" style=\"image-rendering:pixelated\" "
        "href=\"data:image/png;base64,{}\"/>\n",
        x, y, w * zoom, h * zoom, base64(encode_png(h, w, channels, pixels)));
  }
  std::string finish() override { return out_ + "</svg>\n"; }

 private:
  std::string out_;
};

}  // namespace

std::unique_ptr<Canvas> make_svg(double width, double height) { return std::make_unique<Svg>(width, height); }

std::string base64(const std::string& bytes) {
  static const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t v = 0;
    for (size_t k = 0; k < 3; ++k)
      v = (v << 8) | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? digits[(v >> (18 - 6 * k)) & 63] : '=';
  }
  return out;
}

}  // namespace sigma
