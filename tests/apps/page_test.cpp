// Pages that reports are made of.
#include "apps/report/page.h"

#include "apps/report/plot.h"
#include "tests/support/support.h"

using namespace sigma;
using namespace sigma::test;

TEST_CASE("a page escapes what it is given and holds its style") {
  Page page("a < b & \"c\"");
  page.finding("<script>alert(1)</script>");
  page.tiles({{"98%", "<i>"}});
  page.table({"name", "value"}, {{"<b>", "1"}});
  page.preformatted("x < y", "more & more");
  const std::string html = page.html();
  CHECK(html.find("<title>a &lt; b &amp; &quot;c&quot;</title>") != std::string::npos);
  CHECK(html.find("<script") == std::string::npos);
  CHECK(html.find("<i>") == std::string::npos);
  CHECK(html.find("<td>&lt;b&gt;</td><td>1</td>") != std::string::npos);
  CHECK(html.find("<pre>x &lt; y</pre>") != std::string::npos);
  CHECK(html.find("prefers-color-scheme:dark") != std::string::npos);
  CHECK(html.find("http://") == std::string::npos);  // nothing is loaded from elsewhere
}

TEST_CASE("a table of a page refuses a row that is too short") {
  Page page("t");
  CHECK_THROWS_WITH(page.table({"a", "b"}, {{"1"}}), Contains("expected 2 cells"));
}

TEST_CASE("pictures mark the colours that a dark page changes") {
  const std::string svg = to_svg({Chart{"title", "x", "y", {{.label = "l", .x = {0, 1}, .y = {0, 1}}}}});
  CHECK(svg.find("class=\"paper\"") != std::string::npos);
  CHECK(svg.find("class=\"ink\"") != std::string::npos);
  CHECK(svg.find("class=\"grid\"") != std::string::npos);
}
