// Images in reports: enlarged by whole factors, so that each pixel stays a square, and side by side.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma {

// 8-bit pixels [height][width][channels], one or three channels.
struct Picture {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// The largest whole factor with which `width` pixels come to no more than `wanted` units; at least 1.
int zoom_for(int64_t width, int64_t wanted);

// HTML of the pictures side by side, of one height, each enlarged by zoom_for(width, wanted); `text` tells
// those who cannot see them what they show. An undefined one, without pixels, is left out.
std::string pictures_html(const std::vector<Picture>& pictures, int64_t wanted, const std::string& text);

// The bytes of a PNG: an image and where the network looked, side by side, each under a word of what it is,
// and `words`, a line each, below. Throws kind usage when there are not height x width x channels pixels.
std::string explained_png(const Picture& image, const Picture& heat, const std::vector<std::string>& words);

}  // namespace sigma
