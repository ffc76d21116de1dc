#include "apps/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "apps/flags/flag.h"
#include "core/file.h"

namespace sigma::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMarker = "sigma-run";
constexpr const char* kMarkerText = "sigma run 1\n";

// What runs write, of all verbs. config.json and the marker go last: while they are there, the folder is
// known as a run.
const char* const kFiles[] = {"env.json",
                              "results.csv",
                              "steps.csv",
                              "curves.png",
                              "curves.svg",
                              "confusion.csv",
                              "confusion.png",
                              "summary.json",
                              "report.html",
                              "arms.json",
                              "activations.png",
                              "values.png",
                              "metrics.csv",
                              "predictions.csv",
                              "histograms.png",
                              "learning_rates.png",
                              "sweep.png",
                              "spectrum.csv",
                              "singular_values.csv",
                              "spectrum.png",
                              "spectrum.svg",
                              "sweep.csv",
                              "sweep.svg",
                              "lr_find.csv",
                              "trials.csv",
                              "lr_find.svg",
                              "lr_find.png",
                              "state.csv",
                              "statistics.csv",
                              "statistics.png",
                              "variance.csv",
                              "variance.png",
                              "outputs.csv",
                              "outputs.png",
                              "gap.csv",
                              "gap.png",
                              "batch_size.csv",
                              "batch_size.png",
                              "momentum.csv",
                              "momentum.png",
                              "eps.csv",
                              "eps.png",
                              "depth.csv",
                              "depth.png",
                              "activations.csv",
                              "gradients.csv",
                              "gradients.png",
                              "pixels.csv",
                              "pixels.png",
                              "image.csv",
                              "image.png",
                              "config.json",
                              kMarker};

bool is_one_of_ours(const std::string& name) {
  return std::find(std::begin(kFiles), std::end(kFiles), name) != std::end(kFiles);
}

// last, last-previous, best, diverged-12 and arm-1-seed-2, all .safetensors.
bool is_weights_file(const std::string& name) {
  const std::string ending = ".safetensors";
  if (name.size() <= ending.size() || !name.ends_with(ending)) return false;
  std::string stem = name.substr(0, name.size() - ending.size());
  if (stem == "last" || stem == "last-previous" || stem == "best") return true;
  // With each number as one '#'.
  std::string shape;
  for (char c : stem) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit || shape.empty() || shape.back() != '#') shape += digit ? '#' : c;
  }
  return shape == "diverged-#" || shape == "arm-#-seed-#";
}

// What a process that was killed in write_file_atomic leaves behind: ".<name>.tmp.<process>".
bool is_temporary(const std::string& name) {
  const size_t at = name.rfind(".tmp.");
  if (name.empty() || name[0] != '.' || at == name.npos) return false;
  const std::string written = name.substr(1, at - 1);
  return is_one_of_ours(written) || is_weights_file(written);
}

bool is_run_of_old(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path / "config.json", ignored) || !fs::is_regular_file(path / "env.json", ignored))
    return false;
  try {
    const Json config = read_json_file((path / "config.json").string(), ErrorKind::data);
    const Json env = read_json_file((path / "env.json").string(), ErrorKind::data);
    if (!config.is_object() || !env.contains("simd_targets") || !env.contains("blas_core")) return false;
    Options options;
    size_t known = 0;
    for (const Flag& f : shared_flags(options)) known += config.contains(f.name.substr(2));
    return known > 0;
  } catch (const Error&) { return false; }
}

bool is_run(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path / kMarker, ignored) || is_run_of_old(path);
}

// Also when all there is is what a run makes before its config.json.
bool is_empty_or_missing(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return true;
  if (!fs::is_directory(path, error)) return false;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const std::string name = it->path().filename().string();
    bool ours = name == ".lock" || name == kMarker || is_temporary(name) ||
                (name == "weights" && fs::is_empty(it->path(), ignored) && !ignored);
    if (!ours) return false;
  }
  return !error;
}

// Removes the files of a folder whose names pass; never a folder, never what is behind a link.
template <class Fn>
void remove_files(const fs::path& folder, Fn goes) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (goes(it->path().filename().string()) &&
        fs::symlink_status(it->path(), ignored).type() != fs::file_type::directory)
      found.push_back(it->path());
  }
  for (const fs::path& path : found) fs::remove(path, error);
}

}  // namespace

fs::path RunFolder::locate(const Options& o, const std::string& verb) {
  std::error_code ignored;
  if (!o.out.empty()) {
    fs::path path = o.out;
    if (o.resume) {
      if (!fs::exists(path / "config.json", ignored))
        fail(ErrorKind::io, o.out, "there is no run to resume: config.json is missing");
      return path;
    }
    if (fs::exists(path, ignored) && !fs::is_directory(path, ignored))
      fail(ErrorKind::usage, "--out", "{} is a file, expected a folder", o.out);
    if (is_empty_or_missing(path)) return path;
    if (!is_run(path))
      fail(ErrorKind::usage, "--out", "{} is not empty and holds no run; choose another folder", o.out);
    if (!o.overwrite)
      fail(ErrorKind::usage, "--out", "{} holds a run already; use --resume, --overwrite or another folder",
           o.out);
    return path;
  }
  fs::path base = "runs", last;
  for (int n = 1;; ++n) {
    fs::path path = base / (n == 1 ? verb : fmt::format("{}-{}", verb, n));
    if (is_empty_or_missing(path)) {
      if (!o.resume && !(o.overwrite && !last.empty())) return path;
      if (last.empty()) fail(ErrorKind::io, (base / verb).string(), "there is no run to resume");
      return last;
    }
    if (is_run(path)) last = path;
  }
}

RunFolder::RunFolder(fs::path path, const Options& o, uint64_t bytes_needed) : path_(std::move(path)) {
  std::error_code error;
  const bool known = is_run(path_), fresh = is_empty_or_missing(path_);
  fs::create_directories(path_ / "weights", error);
  if (error) fail(ErrorKind::io, path_.string(), "cannot create the folder: {}", error.message());
  lock_ = ::open((path_ / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0)
    fail(ErrorKind::io, path_.string(), "the folder cannot be written: {}", std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    fail(ErrorKind::usage, path_.string(), "another process is running in this folder");
  if (!o.resume && !o.overwrite && !is_empty_or_missing(path_))  // since locate() looked
    fail(ErrorKind::usage, path_.string(), "another run has taken this folder meanwhile; start again");
  struct statvfs space {};
  if (::statvfs(path_.c_str(), &space) == 0) {
    uint64_t available = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
    if (available < bytes_needed)
      fail(ErrorKind::io, path_.string(), "{} bytes are free, the run needs about {}", available,
           bytes_needed);
  }
  if (known || fresh) {
    remove_files(path_, is_temporary);
    remove_files(path_ / "weights", is_temporary);
  }
  if (o.overwrite && known) {
    remove_files(path_ / "weights", is_weights_file);
    for (const char* name : kFiles) remove_files(path_, [&](const std::string& n) { return n == name; });
  }
  write(kMarker, kMarkerText);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
  std::error_code ignored;
  fs::remove(path_ / ".lock", ignored);
}

void RunFolder::write(const std::string& name, const std::string& content) const {
  write_file_atomic(*this / name, content);
}
void RunFolder::write_json(const std::string& name, const Json& json) const {
  write(name, json_text(json, 2) + "\n");
}

void keep_inputs(const fs::path& folder, const Options& o, const std::vector<std::string>& files) {
  if (!o.overwrite) return;
  std::error_code ignored;
  for (const std::string& file : files) {
    fs::path inside =
        fs::weakly_canonical(file, ignored).lexically_relative(fs::weakly_canonical(folder, ignored));
    if (!inside.empty() && *inside.begin() != "..")
      fail(ErrorKind::usage, "--overwrite",
           "{} is in {}, which would be replaced; choose another folder by --out", file, folder.string());
  }
}

}  // namespace sigma::app
