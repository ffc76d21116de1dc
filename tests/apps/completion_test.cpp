// `sigma completion`: the script that it prints, in the shell that it is for.
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// What bash offers behind these words, the last of them being typed.
std::string offered(const std::string& words) {
  const std::string program = fmt::format("S={}", SIGMA_BINARY);
  RunResult r = run({"bash", "-c",
                     "source <(\"$S\" completion bash); COMP_WORDS=(" + words +
                         "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sigma; echo \"${COMPREPLY[*]}\""},
                    {program});
  CHECK(r.exit_code == 0);
  CHECK(r.err.empty());
  return r.out.substr(0, r.out.find('\n'));
}

}  // namespace

TEST_CASE("bash completes verbs, parts, flags and values", "[cli]") {
  CHECK(offered("sigma tr") == "train");
  CHECK(offered("sigma com") == "compare compress completion");
  CHECK(offered("sigma data ''") == "list fetch verify preview");
  CHECK(offered("sigma bench ker") == "kernels");
  CHECK(offered("sigma train --batch") == "--batch-norm --batch-size");
  CHECK(offered("sigma data preview --no") == "--no-whiten");
  CHECK(offered("sigma train --precision ''") == "f32 bf16");
  CHECK(offered("sigma train --seed 3 --schedule co") == "constant cosine");
  CHECK(offered("sigma eval --lr") == "");
  CHECK(offered("sigma hel") == "help");
  CHECK(offered("sigma help tra") == "train");
}

TEST_CASE("there are scripts for other shells", "[cli]") {
  RunResult zsh = run_sigma({"completion", "zsh"}), fish = run_sigma({"completion", "fish"});
  CHECK(zsh.exit_code == 0);
  CHECK(contains(zsh.out, "bashcompinit"));
  CHECK(!contains(zsh.out, "mapfile"));
  CHECK(fish.exit_code == 0);
  CHECK(contains(fish.out, "-l batch-size"));
  RunResult r = run_sigma({"completion", "tcsh"});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "expected bash, zsh or fish"));
}
