#include "report/csv.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/text.h"

namespace sigma {
namespace fs = std::filesystem;

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string cell = "\"";
  for (char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

std::string columns_text(const std::vector<std::vector<std::string>>& rows) {
  auto width = [](const std::string& s) {  // code points
    return static_cast<size_t>(std::count_if(
        s.begin(), s.end(), [](char ch) { return (static_cast<unsigned char>(ch) & 0xc0) != 0x80; }));
  };
  std::vector<size_t> widths(rows.empty() ? 0 : rows[0].size(), 0);
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - width(row[i]), ' ');
      line += i == 0 ? row[i] + pad : "  " + pad + row[i];
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

CsvLog::CsvLog(const std::string& path, const std::vector<std::string>& header, size_t step_column,
               int64_t last_step)
    : path_(path) {
  SIGMA_CHECK(step_column < header.size(), "csv", "expected a column below {}, got {}", header.size(),
              step_column);
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

}  // namespace sigma
