// Small files of each format, made byte by byte, so that the readers are not checked against writers of the
// library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sigma::test {

std::string big_endian(uint32_t value);

// An IDX file: header and data as given, whether or not they agree.
std::string idx(const std::vector<uint32_t>& sizes, const std::string& data, uint8_t element_type = 8);
// Pixels that differ from one another, and labels 0, 1, 2, ... 9, 0, ...
std::string some_pixels(size_t count, uint32_t seed = 1);
std::string some_labels(size_t count, uint8_t classes = 10);
std::string gzipped(const std::string& bytes, int level = 6);
// Records of a CIFAR file; hundred: with a coarse and a fine label.
std::string cifar(size_t records, bool hundred = false);

// A PNG chunk with its checksum, and files of color type 0 (grey), 2 (colour), 4 (grey and alpha) or 6
// (colour and alpha).
std::string png_chunk(const std::string& type, const std::string& content);
std::string png(uint32_t width, uint32_t height, uint8_t color_type, const std::string& pixels);
int channels_of(uint8_t color_type);
// A baseline JPEG of the best quality; it holds three components, of grey pixels too.
std::string jpeg(int width, int height, int channels, const std::string& pixels);
// Others, by libjpeg-turbo: 17x11 colour 4:2:0 in ten progressive scans with restart markers; 17x11 colour
// 4:2:2 in one sequential scan a component with restart markers; 20x9 grey in six progressive scans.
std::string progressive_jpeg();
std::string separate_scans_jpeg();
std::string grey_progressive_jpeg();

}  // namespace sigma::test
