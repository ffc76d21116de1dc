// Small data files made by the tests themselves, byte by byte, so that the readers are not checked against
// writers of the library; and the contract of the program when it is given bad ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/sample_bytes.h"

namespace sigma::test {

// Creates the folders above `path` as well.
void put(const std::filesystem::path& path, const std::string& bytes);
std::string bytes_of(const std::filesystem::path& path);

// The four files of an MNIST-like data set, plain.
void put_mnist(const std::filesystem::path& folder, uint32_t train = 16, uint32_t test = 8,
               uint32_t side = 28);
void put_cifar10(const std::filesystem::path& folder);

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
