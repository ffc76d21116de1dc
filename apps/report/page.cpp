#include "report/page.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/check.h"
#include "report/canvas.h"

namespace sigma {
namespace {

// Colours as names, so that the dark page changes them in one place; make_svg() marks what follows them.
const char* const kStyle = R"(
:root{color-scheme:light dark;--ink:#222222;--muted:#5f6670;--grid:#e2e2e2;--paper:#ffffff;--soft:#f4f5f7;--strong:#00609a}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--muted:#a2abb6;--grid:#3a4048;--paper:#16181c;--soft:#22262c;--strong:#7cc4f5}}
*{box-sizing:border-box}
body{font:16px/1.55 "DejaVu Sans",Verdana,system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1240px;margin:0 auto;padding:1.2rem 1rem 3rem;overflow-wrap:break-word}
h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .6rem}
h2{font-size:1.15rem;margin:2.4rem 0 .6rem;padding-top:.8rem;border-top:1px solid var(--grid)}
p{margin:.5rem 0;max-width:46rem}
.finding{font-size:1.2rem;line-height:1.45;max-width:50rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1.1rem 0}
.tiles div{background:var(--soft);border-radius:.5rem;padding:.7rem .9rem}
.tiles b{display:block;font-size:1.45rem;line-height:1.2;color:var(--strong);font-variant-numeric:tabular-nums}
.tiles span{font-size:.85rem;color:var(--muted)}
.figures{display:grid;grid-template-columns:minmax(0,1fr);gap:1.2rem;margin:.8rem 0}
@media (min-width:760px){.figures{grid-template-columns:repeat(var(--columns,2),minmax(0,1fr))}}
figure{margin:0;min-width:0}
figure.wide{grid-column:1/-1}
figure svg,figure img{display:block;width:100%;height:auto}
figure svg{max-width:34rem}
figure.wide svg,figure.wide img{width:auto;max-width:100%}
.gallery{display:grid;gap:1rem .75rem;margin:.8rem 0}
.pictures{display:flex;gap:4px;align-items:flex-start}
.pictures img{display:block;height:auto;min-width:0;flex:0 1 auto}
.figures>div{min-width:0}
.pictures img.pixels{image-rendering:pixelated}
figcaption{font-size:.88rem;color:var(--muted);margin-top:.3rem;white-space:pre-line}
.scroll{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .55rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th{color:var(--muted);font-weight:normal;vertical-align:bottom}
th:first-child,td:first-child{text-align:left;padding-left:0}
.heat td{padding:.15rem .3rem;text-align:center;border:1px solid var(--paper);min-width:1.9rem}
.heat th.turned{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left}
.heat th{padding:.15rem .3rem;text-align:center}.heat td:first-child{text-align:right;color:var(--muted);padding-right:.5rem}
pre{background:var(--soft);border-radius:.5rem;padding:.8rem 1rem;overflow-x:auto;font-size:.82rem;white-space:pre-wrap;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--strong)}
svg text.ink,svg rect.ink,svg polygon.ink{fill:var(--ink)}svg polyline.ink{stroke:var(--ink)}
svg text.muted,svg rect.muted,svg polygon.muted{fill:var(--muted)}svg polyline.muted{stroke:var(--muted)}
svg text.grid,svg rect.grid,svg polygon.grid{fill:var(--grid)}svg polyline.grid{stroke:var(--grid)}
svg text.paper,svg rect.paper,svg polygon.paper{fill:var(--paper)}svg polyline.paper{stroke:var(--paper)}
)";

std::string row_html(const std::vector<std::string>& cells, const char* tag) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) row += fmt::format("<{0}>{1}</{0}>", tag, escape_html(cell));
  return row + "</tr>\n";
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string image_html(const std::string& png_bytes, const std::string& text) {
  return fmt::format("<img src=\"data:image/png;base64,{}\" alt=\"{}\"/>", base64(png_bytes),
                     escape_html(text));
}

Page::Page(std::string title) : title_(std::move(title)) {}

void Page::finding(const std::string& sentence) {
  body_ += fmt::format("<p class=\"finding\">{}</p>\n", escape_html(sentence));
}

void Page::paragraph(const std::string& text) { body_ += fmt::format("<p>{}</p>\n", escape_html(text)); }

void Page::tiles(const std::vector<Tile>& tiles) {
  body_ += "<div class=\"tiles\">\n";
  for (const Tile& t : tiles)
    body_ += fmt::format("<div><b>{}</b><span>{}</span></div>\n", escape_html(t.value), escape_html(t.label));
  body_ += "</div>\n";
}

void Page::section(const std::string& title) { body_ += fmt::format("<h2>{}</h2>\n", escape_html(title)); }

void Page::figures(const std::vector<Figure>& figures, int columns) {
  if (figures.empty()) return;
  body_ += fmt::format("<div class=\"figures\" style=\"--columns:{}\">\n", std::max(1, columns));
  for (const Figure& f : figures) {
    body_ += f.wide ? "<figure class=\"wide\">" : "<figure>";
    body_ += f.picture;
    if (!f.caption.empty()) body_ += fmt::format("<figcaption>{}</figcaption>", escape_html(f.caption));
    body_ += "</figure>\n";
  }
  body_ += "</div>\n";
}

void Page::gallery(const std::vector<Figure>& figures, int64_t width) {
  if (figures.empty()) return;
  body_ += fmt::format(
      "<div class=\"gallery\" "
      "style=\"grid-template-columns:repeat(auto-fill,minmax(min({},{}px),1fr))\">\n",
      width > 300 ? "100%" : "46%", width);
  for (const Figure& f : figures)
    body_ +=
        fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", f.picture, escape_html(f.caption));
  body_ += "</div>\n";
}

void Page::begin_fold(const std::string& summary) {
  body_ += fmt::format("<details><summary>{}</summary>\n", escape_html(summary));
}

void Page::table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
  body_ += "<div class=\"scroll\"><table>\n" + row_html(header, "th");
  for (const auto& row : rows) {
    SIGMA_CHECK(row.size() == header.size(), "page", "expected {} cells in a row of the table, got {}",
                header.size(), row.size());
    body_ += row_html(row, "td");
  }
  body_ += "</table></div>\n";
}

void Page::preformatted(const std::string& text, const std::string& summary) {
  const std::string pre = fmt::format("<pre>{}</pre>\n", escape_html(text));
  body_ += summary.empty()
               ? pre
               : fmt::format("<details><summary>{}</summary>\n{}</details>\n", escape_html(summary), pre);
}

std::string Page::html() const {
  const std::string title = escape_html(title_);
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style></head>\n"
      "<body>\n<h1>{}</h1>\n{}</body></html>\n",
      title, kStyle, title, body_);
}

}  // namespace sigma
