// Drawing for charts: one set of primitives, two results, SVG text and PNG pixels. (0, 0) is the upper left
// corner and y grows downwards; lengths are units, a pixel of SVG's. Coordinates must be finite; what lies
// outside is cut off.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sigma {

struct Color {
  uint8_t r = 0, g = 0, b = 0;  // sRGB
  double alpha = 1;             // 0: not seen, 1: opaque
};
inline constexpr Color kInk{34, 34, 34}, kGrid{226, 226, 226}, kMuted{110, 110, 110}, kWhite{255, 255, 255};

struct XY {
  double x, y;
};
enum class Anchor { start, middle, end };  // what of a text stands at its x

// A picture that is being drawn; later things cover earlier ones. Text is UTF-8 in DejaVu Sans.
class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void polyline(const std::vector<XY>& points, Color color, double width, bool dashed = false) = 0;
  // The area between two curves over the same x, which ascend; three lists of one length.
  virtual void band(const std::vector<double>& x, const std::vector<double>& low,
                    const std::vector<double>& high, Color color) = 0;
  virtual void rect(double x, double y, double w, double h, Color fill) = 0;
  // (x, y) is the baseline. `turned` reads upwards.
  virtual void text(double x, double y, const std::string& text, double size, Color color,
                    Anchor anchor = Anchor::start, bool turned = false) = 0;
  virtual double text_width(const std::string& text, double size) const = 0;
  // An 8-bit picture [height][width][channels], one or three channels, a pixel `zoom` units wide.
  virtual void image(double x, double y, int64_t height, int64_t width, int64_t channels,
                     const uint8_t* pixels, int zoom) = 0;
  virtual std::string finish() = 0;  // the file's bytes
};

std::unique_ptr<Canvas> make_svg(double width, double height);
std::unique_ptr<Canvas> make_png(double width, double height, double scale = 2);  // scale: pixels a unit

// Bytes of a PNG from 8-bit pixels [height][width][channels]. Throws kind usage when there are not one or
// three channels, or not 1 to 16384 pixels a side.
std::string encode_png(int64_t height, int64_t width, int64_t channels, const uint8_t* pixels);
// RFC 4648 with padding: for a picture within a page.
std::string base64(const std::string& bytes);

}  // namespace sigma
