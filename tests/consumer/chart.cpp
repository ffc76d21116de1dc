// A user's program that draws.
#include <sigma/report/plot.h>

#include <cstdio>

int main() {
  sigma::Chart chart{"Training", "steps", "loss", {{.label = "loss", .x = {0, 1, 2}, .y = {2, 1, 0.5}}}};
  std::string svg = sigma::to_svg({chart}), png = sigma::to_png({chart});
  std::printf("%zu and %zu bytes\n", svg.size(), png.size());
  return svg.starts_with("<svg") && png.substr(1, 3) == "PNG" ? 0 : 1;
}
