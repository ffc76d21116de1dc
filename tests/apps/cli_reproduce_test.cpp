// `sigma reproduce`: the list, the plan for a budget, a run that is read again, and what is said without
// data.
#include "core/json.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

TEST_CASE("reproduce lists its experiments with claim, source and cost", "[cli][reproduce]") {
  TemporaryFolder folder;
  const RunResult text = run_sigma({"reproduce", "--folder", folder.path().string()});
  REQUIRE(text.exit_code == 0);
  const Json all = last_line_json(run_sigma({"reproduce", "--json", "--folder", folder.path().string()}).out)
                       .at("experiments");
  CHECK(all.size() == 27);
  for (const Json& e : all) {
    INFO(e.dump());
    CHECK(contains(text.out, e.at("name").get<std::string>()));
    CHECK(contains(text.out, e.at("claim").get<std::string>()));
    CHECK(contains(text.out, e.at("paper").get<std::string>()));
    CHECK(e.at("rule").get<std::string>().size() > 20);
    CHECK(e.at("minutes").get<double>() > 0);
    CHECK(e.at("verdict") == "");
  }
}

TEST_CASE("a budget chooses the largest sizes that fit it, and says what it leaves out", "[cli][reproduce]") {
  const RunResult hour = run_sigma({"reproduce", "--all", "--budget", "60m", "--dry-run"}),
                  minute = run_sigma({"reproduce", "--all", "--budget", "1m", "--dry-run"}),
                  all = run_sigma({"reproduce", "--all", "--full", "--dry-run"});
  CHECK(hour.exit_code == 0);
  // What the rest builds on, and all that trains nothing, whole.
  for (const char* taken :
       {"ioffe-mnist            full", "deep-sigmoid           full", "high-rate              full",
        "input-normalization    full", "bjorck-initialization  full", "largest-rate           full",
        "mnist-minute           full", "udacity-grid           reduced", "rank-collapse          full",
        "orthogonality-gap      full", "gradient-explosion     full", "orthogonal-weights     full",
        "branch-variance        full"}) {
    INFO(taken << "\n" << hour.err);
    CHECK(contains(hour.err, taken));
  }
  CHECK(contains(hour.err, "airbench94 left out: its "));
  CHECK(contains(minute.err, "udacity-grid left out"));
  CHECK(contains(all.err, "udacity-grid           full"));
  CHECK(contains(all.err, "airbench94             full"));
  const RunResult usual = run_sigma({"reproduce", "--all", "--dry-run"});
  CHECK(contains(usual.err, "airbench94 left out: it takes "));
  CHECK(contains(usual.err, "udacity-grid           reduced"));
  for (const char* wrong : {"x", "", "0m", "-3h", "1d"}) {
    const RunResult r = run_sigma({"reproduce", "--all", fmt::format("--budget={}", wrong), "--dry-run"});
    INFO(wrong << r.err);
    CHECK(r.exit_code == (wrong[0] ? 2 : 0));
    if (wrong[0]) CHECK(contains(r.err, "--budget"));
  }
  const RunResult unknown = run_sigma({"reproduce", "rank-colapse"});
  CHECK(unknown.exit_code == 2);
  CHECK(contains(unknown.err, "unknown experiment \"rank-colapse\", expected one of ioffe-mnist"));
}

TEST_CASE("an experiment writes its page, numbers and verdict, and what was measured is not measured again",
          "[cli][reproduce]") {
  TemporaryFolder folder;
  const fs::path out = folder / "out", page = out / "gradient-explosion";
  const Arguments line{"reproduce", "gradient-explosion", "--budget", "1s", "--folder", out.string()};
  RunResult r = run_sigma(line + Arguments{"--threads", "2"});
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  const Json first = read_json(page / "result.json");
  CHECK(first.at("extent") == "reduced");
  CHECK(contains(r.out, first.at("why").get<std::string>()));
  const std::string html = read_text(page / "index.html");
  CHECK(contains(html, "pi / (pi - 1)"));
  CHECK(contains(html, "reduced size: 15 layers and 3 seeds"));
  CHECK(contains(read_text(out / "index.html"), "<a href=\"gradient-explosion/index.html\">"));
  const auto table = read_csv(page / "gradient.csv");
  CHECK(table.size() == 1 + 2 * 16);
  CHECK(read_image((page / "gradient.png").string()).width > 300);

  // Two of the measurements are lost, as if the program had been killed; the rest is read, even one that was
  // changed.
  const fs::path units = page / "reduced";
  const fs::path lost = units / "gradient-chain-512-256-15-bn-relu-1.json",
                 kept = units / "gradient-chain-512-256-15-bn-relu-0.json";
  REQUIRE(fs::remove(lost));
  fs::remove(page / "result.json");
  const fs::file_time_type before = fs::last_write_time(kept);
  REQUIRE(run_sigma(line + Arguments{"--threads", "1", "--quiet"}).exit_code == 0);
  CHECK(fs::last_write_time(kept) == before);
  const Json second = read_json(page / "result.json");
  for (const char* key : {"verdict", "why", "findings"}) CHECK(second.at(key) == first.at(key));
  // Another seed is measured anew.
  REQUIRE(run_sigma(line + Arguments{"--seed", "5", "--quiet"}).exit_code == 0);
  CHECK(read_json(page / "result.json").at("findings") != first.at("findings"));
  const Json list =
      last_line_json(run_sigma({"reproduce", "--json", "--folder", out.string()}).out).at("experiments");
  for (const Json& e : list)
    if (e.at("name") == "gradient-explosion")
      CHECK(e.at("verdict") == read_json(page / "result.json").at("verdict"));
}

TEST_CASE("an experiment whose data are not there says how to get them", "[cli][reproduce]") {
  TemporaryFolder folder;
  const RunResult r = run_sigma({"reproduce", "ioffe-mnist", "--data-dir", (folder / "none").string(),
                                 "--folder", (folder / "out").string()});
  CHECK(r.exit_code != 0);
  CHECK(contains(r.err, "sigma data fetch"));
}
