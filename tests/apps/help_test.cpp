// Help texts and the manual page, which follow from the verbs and the table of flags.
#include <algorithm>

#include "core/text.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;

TEST_CASE("help of a verb is what its --help prints", "[cli]") {
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"train"}, std::vector<std::string>{"data", "verify"},
        std::vector<std::string>{"data"}, std::vector<std::string>{}}) {
    std::vector<std::string> asked{"help"}, flagged = verb;
    asked.insert(asked.end(), verb.begin(), verb.end());
    flagged.push_back("--help");
    RunResult a = run_sigma(asked), b = run_sigma(flagged);
    INFO(join(asked, " "));
    CHECK(a.exit_code == 0);
    CHECK(a.out == b.out);
    CHECK(contains(a.out, "Usage: sigma"));
  }
  RunResult wrong = run_sigma({"help", "trian"});
  CHECK(wrong.exit_code == 2);
  CHECK(contains(wrong.err, "did you mean train?"));
}

TEST_CASE("examples of a verb's help have flags that the verb has", "[cli]") {
  size_t examples = 0;
  const RunResult all = run_sigma({"--help"});
  for (const std::string& line : split(all.out.substr(all.out.find("Verbs:")), '\n')) {
    if (line.rfind("  ", 0) != 0 || line.size() < 3 || line[2] == ' ') continue;
    const std::string verb = line.substr(2, line.find("  ", 2) - 2);
    std::vector<std::string> words{"help"};
    for (const std::string& word : split(verb, ' ')) words.push_back(word);
    const std::string help = run_sigma(words).out;
    const size_t begin = help.find("\nExamples:\n");
    if (begin == help.npos) continue;
    for (const std::string& example : split(help.substr(begin), '\n')) {
      if (example.rfind("  sigma ", 0) != 0) continue;
      INFO(example);
      ++examples;
      CHECK(example.rfind("  sigma " + verb, 0) == 0);
      for (const std::string& word : split(example, ' '))
        if (word.rfind("--", 0) == 0) CHECK(contains(help.substr(0, begin), "\n  " + word + " "));
    }
  }
  CHECK(examples >= 10);
}

TEST_CASE("the manual page has every verb and flag", "[cli]") {
  RunResult man = run_sigma({"man"});
  CHECK(man.exit_code == 0);
  CHECK(man.out.rfind(".TH SIGMA 1", 0) == 0);
  for (const char* part : {".SS sigma train [FLAGS]", ".B \\-\\-batch\\-size N", ".SS sigma data preview",
                           "EXIT STATUS", "Example: "})
    CHECK(contains(man.out, part));
  // A line that begins with a dot is a request, and those are the ones that the page is made of.
  for (const std::string& line : split(man.out, '\n')) {
    if (line.empty() || line[0] != '.') continue;
    const std::string request = line.substr(1, line.find(' ') - 1);
    INFO(line);
    CHECK(std::count(request.begin(), request.end(), '.') == 0);
    CHECK(contains(" TH SH SS TP B I PP nf fi RS RE ", " " + request + " "));
  }
}
