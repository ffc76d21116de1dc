// synth-digits: handwritten-like digits without any file. Each digit is a few strokes, in one of several
// styles; the strokes are moved by a random affine map and a smooth random displacement, drawn with a random
// pen, and noise is added.
#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "core/rng.h"
#include "data/dataset.h"

namespace sigma {
namespace {

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;  // a polyline in the unit square, y downwards
using Strokes = std::vector<Stroke>;

// Part of an ellipse, angles in turns, 0 at the right, growing clockwise on the screen.
Stroke arc(double cx, double cy, double rx, double ry, double from, double to) {
  Stroke s;
  int steps = std::max(4, static_cast<int>(std::ceil(std::fabs(to - from) * 24)));
  for (int i = 0; i <= steps; ++i) {
    double a = 2 * std::numbers::pi * (from + (to - from) * i / steps);
    s.push_back({cx + rx * std::cos(a), cy + ry * std::sin(a)});
  }
  return s;
}
// A straight line in short pieces, so that it can bend.
Stroke line(Point a, Point b) {
  Stroke s;
  for (int i = 0; i <= 6; ++i) s.push_back({a.x + (b.x - a.x) * i / 6, a.y + (b.y - a.y) * i / 6});
  return s;
}
Stroke join(Stroke a, const Stroke& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Strokes digit(int label, int style) {
  switch (label) {
    case 0:
      return {style == 0 ? arc(.5, .5, .26, .38, 0, 1) : arc(.5, .5, .32, .34, -.3, .72)};
    case 1:
      if (style == 0) return {line({.5, .12}, {.5, .88})};
      if (style == 1) return {join(line({.36, .28}, {.54, .12}), line({.54, .12}, {.54, .88}))};
      return {join(line({.36, .28}, {.52, .12}), line({.52, .12}, {.52, .88})), line({.34, .88}, {.7, .88})};
    case 2:
      if (style == 0)
        return {join(join(arc(.5, .33, .24, .21, -.5, .08), line({.7, .43}, {.26, .87})),
                     line({.26, .87}, {.76, .87}))};
      return {join(join(arc(.48, .32, .22, .2, -.45, .15), arc(.38, .78, .12, .1, .6, 1.35)),
                   line({.5, .84}, {.78, .8}))};
    case 3:
      if (style == 0) return {join(arc(.47, .31, .23, .19, -.42, .25), arc(.47, .69, .26, .2, -.25, .42))};
      return {join(join(line({.26, .13}, {.72, .13}), line({.72, .13}, {.48, .42})),
                   arc(.47, .66, .26, .23, -.25, .42))};
    case 4:
      if (style == 0)
        return {join(line({.6, .1}, {.22, .62}), line({.22, .62}, {.8, .62})), line({.62, .36}, {.62, .9})};
      return {join(line({.28, .14}, {.26, .52}), line({.26, .52}, {.74, .5})), line({.72, .14}, {.66, .9})};
    case 5:
      if (style == 0)
        return {join(join(line({.74, .12}, {.32, .12}), line({.32, .12}, {.29, .46})),
                     arc(.47, .64, .27, .23, -.36, .4))};
      return {join(line({.34, .14}, {.3, .45}), arc(.46, .65, .25, .22, -.34, .4)),
              line({.34, .14}, {.76, .12})};
    case 6:
      if (style == 0) return {join(arc(.66, .5, .38, .4, .72, .5), arc(.5, .68, .22, .2, .5, 1.5))};
      return {join(line({.62, .1}, {.3, .6}), arc(.49, .68, .21, .2, .5, 1.5))};
    case 7:
      if (style == 0) return {join(line({.24, .14}, {.76, .14}), line({.76, .14}, {.42, .9}))};
      return {join(line({.24, .14}, {.76, .14}), line({.76, .14}, {.42, .9})), line({.36, .5}, {.7, .5})};
    case 8:
      if (style == 0) return {arc(.5, .31, .2, .19, 0, 1), arc(.5, .69, .24, .2, 0, 1)};
      return {join(arc(.5, .31, .19, .19, .25, 1.25), arc(.5, .69, .23, .19, -.25, .75))};
    default:
      if (style == 0) return {arc(.48, .34, .22, .21, 0, 1), line({.7, .34}, {.62, .9})};
      return {join(arc(.48, .34, .22, .21, 1, 0), arc(.38, .5, .32, .4, 0, .25))};
  }
}
constexpr int kStyles[10] = {2, 3, 2, 2, 2, 2, 2, 2, 2, 2};

double squared_distance(Point p, Point a, Point b) {
  double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
  double t = length2 > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / length2 : 0;
  t = t < 0 ? 0 : t > 1 ? 1 : t;
  double ex = p.x - a.x - t * dx, ey = p.y - a.y - t * dy;
  return ex * ex + ey * ey;
}

constexpr int kSide = 28;

void draw(int label, Rng rng, uint8_t* pixels) {
  auto style = static_cast<int>(rng.next_below(static_cast<uint64_t>(kStyles[label])));
  double angle = 0.24 * rng.next_normal(), shear = 0.22 * rng.next_normal();
  double sx = rng.next_uniform(.68, 1.1), sy = rng.next_uniform(.74, 1.06);
  double tx = rng.next_uniform(-2.2, 2.2), ty = rng.next_uniform(-2.2, 2.2);
  double pen = rng.next_uniform(.75, 1.75), ink = rng.next_uniform(150, 255);
  // Smooth displacement: a few plane waves with random direction, wavelength and phase.
  struct Wave {
    double kx, ky, phase, ax, ay;
  };
  std::vector<Wave> waves(4);
  for (Wave& w : waves)
    w = {rng.next_uniform(-7, 7), rng.next_uniform(-7, 7), rng.next_uniform(0, 6.28),
         .028 * rng.next_normal(), .028 * rng.next_normal()};
  Strokes strokes = digit(label, style);
  for (Stroke& s : strokes)
    for (Point& p : s) {
      double x = p.x - .5, y = p.y - .5;
      for (const Wave& w : waves) {
        double wave = std::sin(w.kx * p.x + w.ky * p.y + w.phase);
        x += w.ax * wave;
        y += w.ay * wave;
      }
      x = sx * x + shear * y;
      y = sy * y;
      double c = std::cos(angle), n = std::sin(angle);
      p = {kSide * .5 + tx + 22 * (c * x - n * y), kSide * .5 + ty + 22 * (n * x + c * y)};
    }
  double noise = rng.next_uniform(2, 26), background = rng.next_uniform(0, 30);
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j) {
      double nearest = 1e9;
      for (const Stroke& s : strokes)
        for (size_t k = 0; k + 1 < s.size(); ++k)
          nearest = std::min(nearest, squared_distance({j + .5, i + .5}, s[k], s[k + 1]));
      double cover = std::clamp(pen + .5 - std::sqrt(nearest), 0.0, 1.0);
      double value = background + (ink - background) * cover + noise * rng.next_normal();
      pixels[i * kSide + j] = static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
    }
  // A short stray stroke or blot in some images.
  if (rng.next_uniform() < .35) {
    Point a{rng.next_uniform(0, kSide), rng.next_uniform(0, kSide)};
    Point b{a.x + rng.next_uniform(-7, 7), a.y + rng.next_uniform(-7, 7)};
    double stray = rng.next_uniform(60, 200);
    for (int i = 0; i < kSide; ++i)
      for (int j = 0; j < kSide; ++j) {
        double cover = std::clamp(1.2 - std::sqrt(squared_distance({j + .5, i + .5}, a, b)), 0.0, 1.0);
        uint8_t& p = pixels[i * kSide + j];
        p = std::max(p, static_cast<uint8_t>(stray * cover));
      }
  }
}

Split make_part(const char* part, int64_t count) {
  Split split;
  split.images = Tensor::empty({count, 1, kSide, kSide}, DType::uint8, Layout::channels_last);
  split.labels = Tensor::empty({count}, DType::int64);
  uint8_t* images = split.images.mutable_data<uint8_t>();
  int64_t* labels = split.labels.mutable_data<int64_t>();
  parallel_ranges(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Rng rng(0, std::string("synth-digits/") + part, static_cast<uint64_t>(i));
      labels[i] = static_cast<int64_t>(rng.next_below(10));
      draw(static_cast<int>(labels[i]), rng, images + i * kSide * kSide);
    }
  });
  return split;
}

}  // namespace

Dataset make_synth_digits(int64_t train, int64_t test) {
  Dataset d;
  d.name = "synth-digits";
  d.class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  d.train = make_part("train", train);
  d.test = make_part("test", test);
  return d;
}

}  // namespace sigma
