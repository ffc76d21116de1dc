// A page for people: one file of HTML that opens from disk, its style and pictures within. It reads on a
// phone (390 pixels wide) and on a desk, light and dark: pictures stand in a grid, tables scroll in a box of
// their own, and pictures of make_svg() follow the colours of the page.
//
//   Page page("Training of a small network");
//   page.finding("It names 98.1% of the test images right.");
//   page.tiles({{"98.1%", "test accuracy"}, {"12 s", "of training"}});
//   page.section("Curves");
//   page.figures({{to_svg({chart}), "Loss falls for three epochs."}});
//   write_file_atomic("report.html", page.html());
#pragma once

#include <string>
#include <vector>

namespace sigma {

// A number that is worth being large, and what it is.
struct Tile {
  std::string value, label;
};

// A picture with words below it. `picture` is HTML: of to_svg(), or image_html().
struct Figure {
  std::string picture, caption;
  bool wide = false;  // takes a row of the grid alone
};

class Page {
 public:
  explicit Page(std::string title);

  // All texts are plain and are escaped; only Figure::picture and raw() are HTML.
  void finding(const std::string& sentence);  // what was found, in large letters
  void paragraph(const std::string& text);
  void tiles(const std::vector<Tile>& tiles);
  void section(const std::string& title);
  // In so many columns where there is room for more than one.
  void figures(const std::vector<Figure>& figures, int columns = 2);
  // Small pictures in as many columns of at least `width` pixels as there is room for; of up to 300 at least
  // two.
  void gallery(const std::vector<Figure>& figures, int64_t width);
  // Cells as texts, as many in each row as in the header; the first column names the row and stands left.
  // Throws kind usage for a row of another length.
  void table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows);
  // A text of fixed width, as a command; `summary`, if there is one, is shown and opens it.
  void preformatted(const std::string& text, const std::string& summary = "");
  // What comes between the two is shown once `summary` is opened.
  void begin_fold(const std::string& summary);
  void end_fold() { body_ += "</details>\n"; }
  void raw(const std::string& html) { body_ += html; }

  std::string html() const;  // the file's bytes

 private:
  std::string title_, body_;
};

std::string escape_html(const std::string& text);
// A picture of `bytes`, the file of a PNG; `text` tells those who cannot see it what it shows.
std::string image_html(const std::string& png_bytes, const std::string& text);

}  // namespace sigma
