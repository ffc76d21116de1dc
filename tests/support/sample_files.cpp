#include "tests/support/sample_files.h"

#include <sys/resource.h>
#include <zlib.h>

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "core/file.h"
#include "tests/support/support.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace sigma::test {
namespace fs = std::filesystem;

void put(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

std::string bytes_of(const fs::path& path) {
  Bytes bytes = read_file(path.string());
  return {bytes.begin(), bytes.end()};
}

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string idx(const std::vector<uint32_t>& sizes, const std::string& data, uint8_t element_type) {
  std::string bytes{0, 0, static_cast<char>(element_type), static_cast<char>(sizes.size())};
  for (uint32_t size : sizes) bytes += big_endian(size);
  return bytes + data;
}

std::string some_pixels(size_t count, uint32_t seed) {
  std::string pixels(count, 0);
  for (char& p : pixels) p = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return pixels;
}

std::string some_labels(size_t count, uint8_t classes) {
  std::string labels(count, 0);
  for (size_t i = 0; i < count; ++i) labels[i] = static_cast<char>(i % classes);
  return labels;
}

std::string gzipped(const std::string& bytes, int level) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("deflateInit2 failed");
  std::string out(deflateBound(&stream, bytes.size()) + 64, 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate failed");
  return out;
}

void put_mnist(const fs::path& folder, uint32_t train, uint32_t test, uint32_t side) {
  put(folder / "train-images-idx3-ubyte", idx({train, side, side}, some_pixels(train * side * side)));
  put(folder / "train-labels-idx1-ubyte", idx({train}, some_labels(train)));
  put(folder / "t10k-images-idx3-ubyte", idx({test, side, side}, some_pixels(test * side * side, 2)));
  put(folder / "t10k-labels-idx1-ubyte", idx({test}, some_labels(test)));
}

std::string cifar(size_t records, bool hundred) {
  std::string bytes;
  for (size_t i = 0; i < records; ++i) {
    if (hundred) bytes += static_cast<char>(i % 20);
    bytes += static_cast<char>(i % (hundred ? 100 : 10));
    bytes += some_pixels(3072, static_cast<uint32_t>(i));
  }
  return bytes;
}

void put_cifar10(const fs::path& folder) {
  for (int i = 1; i <= 5; ++i) put(folder / ("data_batch_" + std::to_string(i) + ".bin"), cifar(2));
  put(folder / "test_batch.bin", cifar(2));
}

std::string png_chunk(const std::string& type, const std::string& content) {
  std::string body = type + content;
  auto crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(static_cast<uint32_t>(crc));
}

int channels_of(uint8_t color_type) {
  return color_type == 0 ? 1 : color_type == 2 ? 3 : color_type == 4 ? 2 : 4;
}

std::string png(uint32_t width, uint32_t height, uint8_t color_type, const std::string& pixels) {
  std::string header = big_endian(width) + big_endian(height) + '\x08' + static_cast<char>(color_type) +
                       std::string(3, '\0'),
              rows;
  size_t row = static_cast<size_t>(channels_of(color_type)) * width;
  for (size_t at = 0; at < pixels.size(); at += row) rows += '\0' + pixels.substr(at, row);  // filter: none
  std::string packed(compressBound(rows.size()), 0);
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()),
           rows.size());
  packed.resize(size);
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + png_chunk("IDAT", packed) + png_chunk("IEND", "");
}

std::string jpeg(int width, int height, int channels, const std::string& pixels) {
  std::string out;
  auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<char*>(data), static_cast<size_t>(size));
  };
  if (!stbi_write_jpg_to_func(append, &out, width, height, channels, pixels.data(), 100))
    throw std::runtime_error("the JPEG could not be written");
  return out;
}

void put_image_folder(const fs::path& folder, uint32_t width, uint32_t height) {
  size_t pixels = size_t{3} * width * height;
  uint32_t seed = 0;
  for (const char* kind : {"cat", "dog"}) {
    for (const char* name : {"a.png", "b.png", "c.png"})
      put(folder / "train" / kind / name, png(width, height, 2, some_pixels(pixels, ++seed)));
    put(folder / "test" / kind / "a.png", png(width, height, 2, some_pixels(pixels, ++seed)));
  }
}

namespace {

// Every path below a folder, with its content.
std::map<std::string, std::string> tree(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (auto& entry : fs::recursive_directory_iterator(folder))
    found[entry.path().string()] =
        entry.is_regular_file() ? sha256_of_file(entry.path().string()) : "not a regular file";
  return found;
}

double seconds_of_children() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

void check_refused(const BadInput& c) {
  TemporaryFolder folder;
  if (c.prepare) c.prepare(folder.path());
  std::vector<std::string> command{"env", "-C", folder.path().string(), SIGMA_BINARY};
  std::string shown = "sigma";
  for (std::string word : c.command) {
    if (size_t at = word.find("{folder}"); at != std::string::npos)
      word.replace(at, 8, folder.path().string());
    command.push_back(word);
    shown += " " + word;
  }
  auto before = tree(folder.path());
  double used = seconds_of_children();
  RunResult r = run(
      command, {"SIGMA_DATA_DIR=" + (folder / "data").string(), "HOME=" + (folder / "home").string()}, 60);
  used = seconds_of_children() - used;
  INFO(shown << "\n" << r.err);
  CHECK(r.exit_code == c.exit_code);
  CHECK(r.out == "");
  std::vector<std::string> errors, others;
  std::istringstream lines(r.err);
  std::string last;
  for (std::string line; std::getline(lines, line); last = line) {
    if (line.rfind("error: ", 0) == 0)
      errors.push_back(line.substr(7));
    else if (line.rfind("warning: ", 0) != 0)
      others.push_back(line);
  }
  CHECK(others == std::vector<std::string>());
  REQUIRE(errors.size() == 1);
  CHECK(last == "error: " + errors[0]);
  INFO("expected: " << c.message);
  CHECK(std::regex_match(errors[0], std::regex(c.message)));
  CHECK(tree(folder.path()) == before);
  // Processor time, so that a busy machine does not fail the test; the 60 seconds above catch a wait.
  CHECK(used < 20);
}

void check_all_refused(const std::vector<BadInput>& cases) {
  for (const BadInput& c : cases) DYNAMIC_SECTION(c.name) {
      check_refused(c);
    }
}

}  // namespace sigma::test
