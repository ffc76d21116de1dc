// The folder of a run: made only once everything else is known to be good, locked while the run lives, never
// silently replaced.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/flags/options.h"

namespace sigma::app {

class RunFolder {
 public:
  // Finds the folder without touching anything: --out, else runs/<verb>, runs/<verb>-2, ... With --resume the
  // given folder or the latest run of the verb. Throws kind usage when it holds a run already (and neither
  // --resume nor --overwrite is given) or something that is no run, kind io when there is nothing to resume.
  static std::filesystem::path locate(const Options& options, const std::string& verb);

  // Makes the folder, locks it, and checks that it can be written and that `bytes_needed` are free.
  RunFolder(std::filesystem::path path, const Options& options, uint64_t bytes_needed);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  void write(const std::string& name, const std::string& content) const;  // atomic
  void write_json(const std::string& name, const Json& json) const;

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

// Throws kind usage when --overwrite would replace a run folder that holds one of the files a verb reads.
void keep_inputs(const std::filesystem::path& folder, const Options& options,
                 const std::vector<std::string>& files);

// A text as a cell of a CSV table: in quotes where it holds a comma, a quote or a new line (RFC 4180).
std::string csv_cell(const std::string& text);

// A table on disk. Rows are appended whole; after a resume those beyond the checkpoint are dropped.
class CsvLog {
 public:
  CsvLog() = default;
  // Starts a table, or keeps the rows of an old one whose `step_column` is at most `last_step`.
  CsvLog(const std::string& path, const std::vector<std::string>& header, size_t step_column,
         int64_t last_step);
  void row(const std::vector<std::string>& cells);
  void flush();
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

 private:
  std::string path_, pending_;
  std::vector<std::vector<std::string>> rows_;
};

Json environment();  // version, CPU, SIMD target, BLAS, threads
std::string machine_name();

}  // namespace sigma::app
