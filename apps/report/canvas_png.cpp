// Pixels with anti-aliased lines and text. The typeface (DejaVu Sans) is part of the program, so a bare
// machine draws the same.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "report/canvas.h"

#define STB_TRUETYPE_IMPLEMENTATION
#define STBTT_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <stb/stb_image_write.h>
#include <stb/stb_truetype.h>
#pragma GCC diagnostic pop

asm(".section .rodata\n"
    ".global sigma_font_data\n"
    ".balign 16\n"
    "sigma_font_data:\n"
    ".incbin \"" SIGMA_FONT
    "\"\n"
    ".byte 0\n"
    ".previous\n");
extern "C" const unsigned char sigma_font_data[];

namespace sigma {
namespace {

constexpr int64_t kMaxSide = 16384;  // 3 x 16384^2 still is an int, which stb counts with

const stbtt_fontinfo& font() {
  static const stbtt_fontinfo info = [] {
    stbtt_fontinfo f;
    stbtt_InitFont(&f, sigma_font_data, stbtt_GetFontOffsetForIndex(sigma_font_data, 0));
    return f;
  }();
  return info;
}

// Code points of UTF-8; damaged bytes stand for themselves.
std::vector<int> code_points(const std::string& s) {
  std::vector<int> out;
  for (size_t i = 0; i < s.size();) {
    auto c = static_cast<unsigned char>(s[i]);
    int length = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 1;
    int point = length == 1 ? c : c & (0x7f >> length);
    for (int k = 1; k < length && i + static_cast<size_t>(k) < s.size(); ++k)
      point = point << 6 | (s[i + static_cast<size_t>(k)] & 0x3f);
    out.push_back(point);
    i += static_cast<size_t>(length);
  }
  return out;
}

class Png : public Canvas {
 public:
  Png(double width, double height, double scale)
      : scale_(scale),
        w_(static_cast<int>(std::ceil(width * scale))),
        h_(static_cast<int>(std::ceil(height * scale))),
        pixels_(static_cast<size_t>(w_) * static_cast<size_t>(h_) * 3, 255) {}

  void polyline(const std::vector<XY>& points, Color c, double width, bool dashed) override {
    // The largest coverage of any segment, so that joints are not drawn twice.
    cover_.resize(static_cast<size_t>(w_) * static_cast<size_t>(h_), 0.f);
    touched_ = {w_, h_, -1, -1};
    double travelled = 0, half = std::max(width * scale_ / 2, .5);
    for (size_t i = 0; i + 1 < points.size(); ++i) {
      XY a{points[i].x * scale_, points[i].y * scale_}, b{points[i + 1].x * scale_, points[i + 1].y * scale_};
      double length = std::hypot(b.x - a.x, b.y - a.y);
      if (!dashed) {
        segment(a, b, half);
      } else {
        double on = 6 * scale_, period = 10 * scale_;
        for (double s = -std::fmod(travelled, period); s < length; s += period) {
          double from = std::max(0.0, s), to = std::min(length, s + on);
          if (to <= from) continue;
          auto at = [&](double t) {
            return XY{a.x + (b.x - a.x) * t / length, a.y + (b.y - a.y) * t / length};
          };
          segment(at(from), at(to), half);
        }
      }
      travelled += length;
    }
    for (int y = touched_.y0; y <= touched_.y1; ++y)
      for (int x = touched_.x0; x <= touched_.x1; ++x) {
        float& k = cover_[index(x, y)];
        if (k > 0) blend(x, y, c, static_cast<double>(k));
        k = 0;
      }
  }

  void band(const std::vector<double>& x, const std::vector<double>& low, const std::vector<double>& high,
            Color c) override {
    for (size_t i = 0; i + 1 < x.size(); ++i) {
      double x0 = x[i] * scale_, x1 = x[i + 1] * scale_;
      for (int px = std::max(0, static_cast<int>(std::ceil(x0 - .5)));
           px < std::min<double>(w_, std::ceil(x1 - .5)); ++px) {
        double t = x1 > x0 ? std::clamp((px + .5 - x0) / (x1 - x0), 0.0, 1.0) : 0;
        double a = (low[i] + (low[i + 1] - low[i]) * t) * scale_,
               b = (high[i] + (high[i + 1] - high[i]) * t) * scale_;
        fill_column(px, std::min(a, b), std::max(a, b), c);
      }
    }
  }

  void rect(double x, double y, double w, double h, Color c) override {
    double x0 = x * scale_, x1 = (x + w) * scale_;
    for (int px = std::max(0, static_cast<int>(std::floor(x0))); px < std::min<double>(w_, std::ceil(x1));
         ++px) {
      Color part = c;
      part.alpha *= std::clamp(std::min(x1, px + 1.0) - std::max(x0, static_cast<double>(px)), 0.0, 1.0);
      fill_column(px, y * scale_, (y + h) * scale_, part);
    }
  }

  void text(double x, double y, const std::string& t, double size, Color c, Anchor anchor,
            bool turned) override {
    double width = text_width(t, size), shift = anchor == Anchor::start    ? 0
                                                : anchor == Anchor::middle ? -width / 2
                                                                           : -width;
    double pen_x = (turned ? x : x + shift) * scale_, pen_y = (turned ? y - shift : y) * scale_;
    float s = stbtt_ScaleForMappingEmToPixels(&font(), static_cast<float>(size * scale_));
    auto points = code_points(t);
    for (size_t i = 0; i < points.size(); ++i) {
      int advance, bearing, bw = 0, bh = 0, ox = 0, oy = 0;
      stbtt_GetCodepointHMetrics(&font(), points[i], &advance, &bearing);
      double whole_x = std::floor(pen_x), whole_y = std::floor(pen_y);
      auto frac_x = static_cast<float>(turned ? 0 : pen_x - whole_x);
      unsigned char* glyph =
          stbtt_GetCodepointBitmapSubpixel(&font(), s, s, frac_x, 0, points[i], &bw, &bh, &ox, &oy);
      for (int gy = 0; gy < bh; ++gy)
        for (int gx = 0; gx < bw; ++gx) {
          double k = glyph[gy * bw + gx] / 255.0;
          if (k == 0) continue;
          int px = turned ? static_cast<int>(whole_x) + oy + gy : static_cast<int>(whole_x) + ox + gx;
          int py = turned ? static_cast<int>(whole_y) - ox - gx : static_cast<int>(whole_y) + oy + gy;
          if (px >= 0 && py >= 0 && px < w_ && py < h_) blend(px, py, c, k);
        }
      stbtt_FreeBitmap(glyph, nullptr);
      double step = advance * static_cast<double>(s);
      if (i + 1 < points.size())
        step += stbtt_GetCodepointKernAdvance(&font(), points[i], points[i + 1]) * static_cast<double>(s);
      (turned ? pen_y : pen_x) += turned ? -step : step;
    }
  }

  double text_width(const std::string& t, double size) const override {
    double s = static_cast<double>(stbtt_ScaleForMappingEmToPixels(&font(), static_cast<float>(size))),
           width = 0;
    for (int point : code_points(t)) {
      int advance, bearing;
      stbtt_GetCodepointHMetrics(&font(), point, &advance, &bearing);
      width += advance * s;
    }
    return width;
  }

  void image(double x, double y, int64_t h, int64_t w, int64_t channels, const uint8_t* pixels,
             int zoom) override {
    for (int py = 0; py < static_cast<int>(static_cast<double>(h * zoom) * scale_); ++py)
      for (int px = 0; px < static_cast<int>(static_cast<double>(w * zoom) * scale_); ++px) {
        auto sy = static_cast<int64_t>(py / (zoom * scale_)), sx = static_cast<int64_t>(px / (zoom * scale_));
        const uint8_t* p = pixels + (sy * w + sx) * channels;
        int tx = static_cast<int>(x * scale_) + px, ty = static_cast<int>(y * scale_) + py;
        if (tx >= 0 && ty >= 0 && tx < w_ && ty < h_)
          blend(tx, ty, {p[0], p[channels > 1 ? 1 : 0], p[channels > 1 ? 2 : 0], 1}, 1);
      }
  }

  std::string finish() override { return encode_png(h_, w_, 3, pixels_.data()); }

 private:
  size_t index(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(w_) + static_cast<size_t>(x);
  }
  void blend(int x, int y, Color c, double cover) {
    uint8_t* p = pixels_.data() + 3 * index(x, y);
    double k = std::clamp(cover * c.alpha, 0.0, 1.0);
    uint8_t rgb[3] = {c.r, c.g, c.b};
    for (int i = 0; i < 3; ++i) p[i] = static_cast<uint8_t>(std::lround(p[i] + (rgb[i] - p[i]) * k));
  }
  void fill_column(int x, double top, double bottom, Color c) {
    for (int y = std::max(0, static_cast<int>(std::floor(top))); y < std::min<double>(h_, std::ceil(bottom));
         ++y)
      blend(x, y, c, std::min(bottom, y + 1.0) - std::max(top, static_cast<double>(y)));
  }
  void segment(XY a, XY b, double half) {
    double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy, reach = half + 1;
    int x0 = std::max(0, static_cast<int>(std::min(a.x, b.x) - reach)),
        x1 = std::min(w_ - 1, static_cast<int>(std::max(a.x, b.x) + reach));
    int y0 = std::max(0, static_cast<int>(std::min(a.y, b.y) - reach)),
        y1 = std::min(h_ - 1, static_cast<int>(std::max(a.y, b.y) + reach));
    touched_ = {std::min(touched_.x0, x0), std::min(touched_.y0, y0), std::max(touched_.x1, x1),
                std::max(touched_.y1, y1)};
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        double px = x + .5 - a.x, py = y + .5 - a.y;
        double t = length2 > 0 ? std::clamp((px * dx + py * dy) / length2, 0.0, 1.0) : 0;
        double d = std::hypot(px - t * dx, py - t * dy);
        auto k = static_cast<float>(std::clamp(half + .5 - d, 0.0, 1.0));
        cover_[index(x, y)] = std::max(cover_[index(x, y)], k);
      }
  }

  double scale_;
  int w_, h_;
  std::vector<uint8_t> pixels_;
  std::vector<float> cover_;  // of the line that is being drawn; 0 elsewhere, and between lines
  struct {
    int x0, y0, x1, y1;  // the pixels that it may have come to
  } touched_{};
};

}  // namespace

std::unique_ptr<Canvas> make_png(double width, double height, double scale) {
  return std::make_unique<Png>(width, height, scale);
}

std::string encode_png(int64_t height, int64_t width, int64_t channels, const uint8_t* pixels) {
  SIGMA_CHECK(channels == 1 || channels == 3, "encode_png", "expected 1 or 3 channels, got {}", channels);
  SIGMA_CHECK(height > 0 && width > 0 && height <= kMaxSide && width <= kMaxSide, "encode_png",
              "expected 1 to {} pixels a side, got {}x{}", kMaxSide, height, width);
  std::string out;
  auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<char*>(data), static_cast<size_t>(size));
  };
  stbi_write_png_to_func(append, &out, static_cast<int>(width), static_cast<int>(height),
                         static_cast<int>(channels), pixels, static_cast<int>(width * channels));
  return out;
}

}  // namespace sigma
