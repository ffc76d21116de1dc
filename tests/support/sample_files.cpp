#include "tests/support/sample_files.h"

#include <sys/resource.h>

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "core/file.h"
#include "tests/support/support.h"

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

void put_mnist(const fs::path& folder, uint32_t train, uint32_t test, uint32_t side) {
  put(folder / "train-images-idx3-ubyte", idx({train, side, side}, some_pixels(train * side * side)));
  put(folder / "train-labels-idx1-ubyte", idx({train}, some_labels(train)));
  put(folder / "t10k-images-idx3-ubyte", idx({test, side, side}, some_pixels(test * side * side, 2)));
  put(folder / "t10k-labels-idx1-ubyte", idx({test}, some_labels(test)));
}

void put_cifar10(const fs::path& folder) {
  for (int i = 1; i <= 5; ++i) put(folder / ("data_batch_" + std::to_string(i) + ".bin"), cifar(2));
  put(folder / "test_batch.bin", cifar(2));
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
      command, {"SIGMA_DATA_DIR=" + (folder / "data").string(), "HOME=" + (folder / "home").string()}, 600);
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
  // Processor time, so that a busy machine does not fail the test; the ten minutes above catch a wait.
  CHECK(used < 20);
}

void check_all_refused(const std::vector<BadInput>& cases) {
  for (const BadInput& c : cases) DYNAMIC_SECTION(c.name) {
      check_refused(c);
    }
}

}  // namespace sigma::test
