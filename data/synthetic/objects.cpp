// synth-objects: 32x32 colour pictures of five shapes in two textures, ten classes, on cluttered backgrounds.
// Neither colour nor place nor size tells the class; shape and texture do.
#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "core/rng.h"
#include "data/dataset.h"

namespace sigma {
namespace {

constexpr int kSide = 32;
constexpr double kPi = std::numbers::pi;

struct Color {
  double v[3];
};
Color random_color(Rng& rng) {
  return {{rng.next_uniform(20, 235), rng.next_uniform(20, 235), rng.next_uniform(20, 235)}};
}
Color far_from(const Color& other, Rng& rng, double least) {
  for (int i = 0; i < 20; ++i) {
    Color c = random_color(rng);
    double d = 0;
    for (int k = 0; k < 3; ++k) d += (c.v[k] - other.v[k]) * (c.v[k] - other.v[k]);
    if (std::sqrt(d) >= least) return c;
  }
  Color c;
  for (int k = 0; k < 3; ++k) c.v[k] = 255 - other.v[k];
  return c;
}

// Distance to the edge of a shape of unit size at (x, y), negative inside (star and triangle: close enough
// for a soft edge).
double signed_distance(int shape, double x, double y) {
  double r = std::hypot(x, y);
  switch (shape) {
    case 0:
      return r - .9;  // disc
    case 1:
      return std::max(std::fabs(x), std::fabs(y)) - .8;  // square
    case 2:
      return std::max({-y - .5, .866 * x + .5 * y - .5, -.866 * x + .5 * y - .5});  // triangle
    case 3:
      return std::fabs(r - .68) - .27;  // ring
    default: {                          // five-pointed star
      double a = std::fmod(std::atan2(y, x) + 2 * kPi, 2 * kPi / 5) - kPi / 5;
      double edge = .42 / std::cos(kPi / 5 - std::fabs(a)) + .58 * std::pow(std::fabs(a) / (kPi / 5), 1.5);
      return r - edge;
    }
  }
}

void draw(int label, Rng rng, uint8_t* pixels) {
  int shape = label % 5;
  bool striped = label < 5;
  Color sky = random_color(rng), ground = random_color(rng);
  double slope = rng.next_uniform(-1, 1), blur = rng.next_uniform(.05, .3);
  Color paint = far_from(sky, rng, 80), mark = far_from(paint, rng, 90);
  double size = rng.next_uniform(7.5, 13), cx = 16 + rng.next_uniform(-5, 5),
         cy = 16 + rng.next_uniform(-5, 5);
  double angle = rng.next_uniform(0, 2 * kPi), squash = rng.next_uniform(.8, 1.2);
  double period = rng.next_uniform(3.2, 5.2), turn = rng.next_uniform(0, kPi),
         phase = rng.next_uniform(0, 2 * kPi), phase2 = rng.next_uniform(0, 2 * kPi);
  double noise = rng.next_uniform(3, 26), light = rng.next_uniform(-.35, .35);
  // Clutter: blobs and bars behind the object.
  struct Blob {
    double x, y, rx, ry, turn;
    Color color;
  };
  std::vector<Blob> clutter(3 + rng.next_below(5));
  for (Blob& b : clutter)
    b = {rng.next_uniform(0, 32), rng.next_uniform(0, 32),  rng.next_uniform(1, 3.5),
         rng.next_uniform(1, 7),  rng.next_uniform(0, kPi), random_color(rng)};

  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j) {
      double t = std::clamp(.5 + blur * ((i - 16) + slope * (j - 16)) * .25, 0.0, 1.0);
      double rgb[3];
      for (int k = 0; k < 3; ++k) rgb[k] = sky.v[k] * (1 - t) + ground.v[k] * t;
      for (const Blob& b : clutter) {
        double x = j + .5 - b.x, y = i + .5 - b.y, c = std::cos(b.turn), s = std::sin(b.turn);
        double u = (c * x + s * y) / b.rx, v = (c * y - s * x) / b.ry;
        double cover = std::clamp((1.1 - std::hypot(u, v)) * 2, 0.0, .8);
        for (int k = 0; k < 3; ++k) rgb[k] += (b.color.v[k] - rgb[k]) * cover;
      }
      double x = j + .5 - cx, y = i + .5 - cy, c = std::cos(angle), s = std::sin(angle);
      double u = (c * x + s * y) / (size * squash), v = (c * y - s * x) / size * squash;
      double cover = std::clamp(.5 - signed_distance(shape, u, v) * size, 0.0, 1.0);
      double along = (std::cos(turn) * x + std::sin(turn) * y) * 2 * kPi / period + phase;
      double across = (std::cos(turn) * y - std::sin(turn) * x) * 2 * kPi / period + phase2;
      double wave = striped ? std::sin(along) : 2 * std::sin(along) * std::sin(across) - .1;
      double mix = std::clamp(.5 + 1.6 * wave, 0.0, 1.0), shade = 1 + light * (x - y) / 16;
      for (int k = 0; k < 3; ++k) {
        double body = (paint.v[k] * (1 - mix) + mark.v[k] * mix) * shade;
        double value = rgb[k] + (body - rgb[k]) * cover + noise * rng.next_normal();
        pixels[(i * kSide + j) * 3 + k] = static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
      }
    }
}

Split make_part(const char* part, int64_t count) {
  Split split;
  split.images = Tensor::empty({count, 3, kSide, kSide}, DType::uint8, Layout::channels_last);
  split.labels = Tensor::empty({count}, DType::int64);
  uint8_t* images = split.images.mutable_data<uint8_t>();
  int64_t* labels = split.labels.mutable_data<int64_t>();
  parallel_ranges(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Rng rng(0, std::string("synth-objects/") + part, static_cast<uint64_t>(i));
      labels[i] = static_cast<int64_t>(rng.next_below(10));
      draw(static_cast<int>(labels[i]), rng, images + i * kSide * kSide * 3);
    }
  });
  return split;
}

}  // namespace

Dataset make_synth_objects(int64_t train, int64_t test) {
  Dataset d;
  d.name = "synth-objects";
  d.class_names = {"striped disc", "striped square", "striped triangle", "striped ring", "striped star",
                   "checked disc", "checked square", "checked triangle", "checked ring", "checked star"};
  d.train = make_part("train", train);
  d.test = make_part("test", test);
  return d;
}

}  // namespace sigma
