// Tables on disk: comma-separated values (RFC 4180) with a header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sigma {

// A text as a cell: in quotes where it holds a comma, a quote or a new line.
std::string csv_cell(const std::string& text);

// Rows of cells as lines for the terminal: the first column to the left, the others to the right, two spaces
// between. Rows have as many cells as the first.
std::string columns_text(const std::vector<std::vector<std::string>>& rows);

// A table that grows. Rows are appended whole; after a resume those beyond the checkpoint are dropped. Cells
// are written as they are, so they hold numbers and plain words, or come from csv_cell in a table that no run
// resumes.
class CsvLog {
 public:
  CsvLog() = default;
  // Starts a table, replacing an older file; with a last_step above 0 keeps those of its rows whose
  // `step_column`, which counts from 0, is at most that. Throws kind io when the file cannot be written, kind
  // usage when there is no such column.
  CsvLog(const std::string& path, const std::vector<std::string>& header, size_t step_column,
         int64_t last_step);
  void row(const std::vector<std::string>& cells);
  // Appends the rows since the last time. Throws kind io; the file then holds no torn row, and the rows are
  // kept for the next flush.
  void flush();
  // All of the table but its header.
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

 private:
  std::string path_, pending_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sigma
