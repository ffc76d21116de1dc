#include "apps/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "core/text.h"

namespace sigma::app {
namespace fs = std::filesystem;
namespace {

// config.json goes last: while it is there, the folder is known as a run.
const char* const kFiles[] = {"env.json",     "results.csv",   "steps.csv",           "curves.png",
                              "curves.svg",   "confusion.csv", "confusion.png",       "summary.json",
                              "report.html",  "weights",       "histograms.png",      "learning_rates.png",
                              "arms.json",    "spectrum.csv",  "singular_values.csv", "spectrum.png",
                              "spectrum.svg", "sweep.csv",     "sweep.png",           "sweep.svg",
                              "config.json"};

bool is_run(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / "config.json", ignored);
}
// What a process that was killed in write_file_atomic leaves behind: ".<name>.tmp.<process>".
bool is_temporary(const fs::path& path) {
  std::string name = path.filename().string();
  return name[0] == '.' && name.find(".tmp.") != std::string::npos;
}
// Also when all there is is what a run makes before its config.json.
bool is_empty_or_missing(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return true;
  if (!fs::is_directory(path, error)) return false;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const fs::path& entry = it->path();
    bool ours = entry.filename() == ".lock" || is_temporary(entry) ||
                (entry.filename() == "weights" && fs::is_empty(entry, ignored) && !ignored);
    if (!ours) return false;
  }
  return !error;
}

}  // namespace

fs::path RunFolder::locate(const Options& o, const std::string& verb) {
  std::error_code ignored;
  if (!o.out.empty()) {
    fs::path path = o.out;
    if (o.resume) {
      if (!is_run(path)) fail(ErrorKind::io, o.out, "there is no run to resume: config.json is missing");
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
  fs::create_directories(path_ / "weights", error);
  if (error) fail(ErrorKind::io, path_.string(), "cannot create the folder: {}", error.message());
  lock_ = ::open((path_ / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0)
    fail(ErrorKind::io, path_.string(), "the folder cannot be written: {}", std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    fail(ErrorKind::usage, path_.string(), "another process is running in this folder");
  if (!o.resume && !o.overwrite && is_run(path_))  // since locate() looked
    fail(ErrorKind::usage, path_.string(), "another run has taken this folder meanwhile; start again");
  struct statvfs space {};
  if (::statvfs(path_.c_str(), &space) == 0) {
    uint64_t available = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
    if (available < bytes_needed)
      fail(ErrorKind::io, path_.string(), "{} bytes are free, the run needs about {}", available,
           bytes_needed);
  }
  for (const fs::path& folder : {path_, path_ / "weights"})
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (is_temporary(it->path())) fs::remove(it->path(), ignored);
    }
  if (o.overwrite) {
    for (const char* name : kFiles) fs::remove_all(path_ / name, error);
    fs::create_directories(path_ / "weights", error);
  }
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
  write(name, json.dump(2) + "\n");
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

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string cell = "\"";
  for (char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

CsvLog::CsvLog(const std::string& path, const std::vector<std::string>& header, size_t step_column,
               int64_t last_step)
    : path_(path) {
  std::error_code ignored;
  if (last_step > 0 && fs::exists(path, ignored)) {
    Bytes bytes = read_file(path);
    std::string line;
    bool first = true;
    for (uint8_t byte : bytes) {
      if (byte != '\n') {
        line += static_cast<char>(byte);
        continue;
      }
      std::vector<std::string> cells(1);
      for (char c : line) {
        if (c == ',')
          cells.emplace_back();
        else
          cells.back() += c;
      }
      line.clear();
      if (std::exchange(first, false) || cells.size() != header.size()) continue;
      if (std::strtoll(cells[step_column].c_str(), nullptr, 10) <= last_step) rows_.push_back(cells);
    }
  }
  std::string text = join(header, ",") + "\n";
  for (auto& r : rows_) text += join(r, ",") + "\n";
  write_file_atomic(path, text);
}

void CsvLog::row(const std::vector<std::string>& cells) {
  rows_.push_back(cells);
  pending_ += join(cells, ",") + "\n";
}

void CsvLog::flush() {
  if (pending_.empty()) return;
  std::error_code error;
  auto good = fs::file_size(path_, error);
  std::ofstream file(path_, std::ios::app);
  file << pending_;
  file.close();
  if (!file) {
    std::string why = std::strerror(errno);
    if (!error) fs::resize_file(path_, good, error);  // no torn row; the rows stay pending
    fail(ErrorKind::io, path_, "cannot append: {}", why);
  }
  pending_.clear();
}

std::string machine_name() { return platform::cpu_name(); }

Json environment() {
  Json j;
  j["version"] = SIGMA_VERSION;
  j["compiler"] = __VERSION__;
  j["cpu"] = machine_name();
  j["processors"] = available_processors();
  j["threads"] = num_threads();
  j["simd"] = kernels::simd_name();
  j["simd_targets"] = kernels::simd_targets();
  j["blas"] = kernels::blas_version();
  j["blas_core"] = kernels::blas_core();
  if (const char* forced = std::getenv("OPENBLAS_CORETYPE")) j["openblas_coretype"] = forced;
  return j;
}

}  // namespace sigma::app
