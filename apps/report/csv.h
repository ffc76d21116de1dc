// Tables on disk (RFC 4180).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma::app {

// A text as a cell: in quotes where it holds a comma, a quote or a new line.
std::string csv_cell(const std::string& text);

// A table that grows. Rows are appended whole; after a resume those beyond the checkpoint are dropped.
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

}  // namespace sigma::app
