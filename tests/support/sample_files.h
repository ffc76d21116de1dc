// Small data files made by the tests themselves, byte by byte, so that the readers are not checked against
// writers of the library; and the contract of the program when it is given bad ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sigma::test {

// Creates the folders above `path` as well.
void put(const std::filesystem::path& path, const std::string& bytes);
std::string bytes_of(const std::filesystem::path& path);
std::string big_endian(uint32_t value);

// An IDX file: header and data as given, whether or not they agree.
std::string idx(const std::vector<uint32_t>& sizes, const std::string& data, uint8_t element_type = 8);
// Pixels that differ from one another, and labels 0, 1, 2, ... 9, 0, ...
std::string some_pixels(size_t count, uint32_t seed = 1);
std::string some_labels(size_t count, uint8_t classes = 10);
std::string gzipped(const std::string& bytes, int level = 6);
// The four files of an MNIST-like data set, plain.
void put_mnist(const std::filesystem::path& folder, uint32_t train = 16, uint32_t test = 8,
               uint32_t side = 28);
// Records of a CIFAR file; hundred: with a coarse and a fine label.
std::string cifar(size_t records, bool hundred = false);
void put_cifar10(const std::filesystem::path& folder);

// A PNG chunk with its checksum, and files of color type 0 (grey), 2 (colour), 4 (grey and alpha) or 6
// (colour and alpha).
std::string png_chunk(const std::string& type, const std::string& content);
std::string png(uint32_t width, uint32_t height, uint8_t color_type, const std::string& pixels);
int channels_of(uint8_t color_type);
// A baseline JPEG of the best quality; it holds three components, of grey pixels too.
std::string jpeg(int width, int height, int channels, const std::string& pixels);
// train/{cat,dog} with three images each, test/{cat,dog} with one.
void put_image_folder(const std::filesystem::path& folder, uint32_t width = 12, uint32_t height = 10);

// One invocation that must be refused.
struct BadInput {
  std::string name;
  std::function<void(const std::filesystem::path&)> prepare;  // fills the working folder; may be empty
  std::vector<std::string> command;                           // {folder} stands for the working folder
  int exit_code;
  std::string message;  // regular expression of the whole error line behind "error: "
};
// Runs it with a fresh working folder (data folder: <folder>/data) and checks: the exit code; exactly one
// error line, the last, and nothing else but warnings; nothing on standard output; no file created, removed
// or changed; less than 20 seconds.
void check_refused(const BadInput& c);
// One section a row.
void check_all_refused(const std::vector<BadInput>& cases);

}  // namespace sigma::test
