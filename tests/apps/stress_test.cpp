// Where memory, threads or the place for the output are short: an exit code that tells it, at once.
#include <unistd.h>

#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// A shell command with "$S" for the program, quoted for the shell.
RunResult shell(const std::string& command, double timeout_s = 900) {
  const std::string program = fmt::format("S={}", SIGMA_BINARY);
  return run({"bash", "-c", command}, {program}, timeout_s);
}

// At most one sentence of an error, and none of the marks of an unforeseen end.
void check_sentence(const RunResult& r) {
  CHECK(count_of(r.err, "error: ") <= 1);
  CHECK(!contains(r.err, "timed out"));
  CHECK(!contains(r.err, "terminate called"));
  CHECK(!contains(r.err, "internal:"));
}

}  // namespace

// With less address space than OpenBLAS wants for its buffers the program printed its error, or nothing, and
// waited for ever: in a product that looked for memory again and again, or in the library's shutdown.
TEST_CASE("with little address space the program ends, and says why", "[cli][regression]") {
  if (kSanitized) return skip("the sanitizer takes 16 TB of address space");
  TemporaryFolder folder;
  int short_of_memory = 0;
  for (int kb : {60000, 100000, 125000, 150000, 175000, 200000, 400000})
    for (const char* verb :
         {"env", "train --quiet --model mlp --limit-train 64 --limit-test 10 --max-steps 1"}) {
      INFO(kb << " KB: " << verb);
      RunResult r = shell(
          fmt::format("cd {}; ulimit -v {}; exec \"$S\" {} --threads 2", folder.path().string(), kb, verb));
      INFO(r.err);
      // 127: the libraries alone are larger.
      CHECK((r.exit_code == 0 || r.exit_code == 7 || r.exit_code == 127));
      short_of_memory += r.exit_code == 7;
      check_sentence(r);
    }
  CHECK(short_of_memory >= 2);
}

TEST_CASE("with few threads the program goes on with those it gets, or says that it cannot",
          "[cli][regression]") {
  const std::string as_nobody = "setpriv --reuid 64999 --regid 64999 --clear-groups ";
  if (geteuid() != 0 || shell(as_nobody + "bash -c '\"$S\" --version'").exit_code != 0)
    return skip(
        "limits of threads hold for other users than root, and this one cannot become one that reaches the "
        "program");
  TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::all);
  int good = 0, refused = 0;
  for (int threads : {1, 2, 3, 4, 5, 6}) {
    INFO(threads << " threads");
    const std::string out = (folder / std::to_string(threads)).string();
    RunResult r = shell(fmt::format(
        // The leak detector wants a thread of its own.
        "ulimit -u {}; export ASAN_OPTIONS=detect_leaks=0; exec {} bash -c 'ulimit -u {}; exec \"$S\" train "
        "--quiet --model mlp --limit-train 64 "
        "--limit-test 10 --max-steps 2 --threads 4 --out {}'",
        threads, as_nobody, threads, out));
    INFO(r.err);
    CHECK((r.exit_code == 0 || r.exit_code == 7));
    good += r.exit_code == 0;
    refused += r.exit_code == 7;
    check_sentence(r);
  }
  CHECK(good >= 1);
  if (!kSanitized) CHECK(refused >= 1);
}

TEST_CASE("output that is lost is no success", "[cli][regression]") {
  TemporaryFolder folder;
  const std::string checkpoint = (folder / "run/weights/last.safetensors").string();
  REQUIRE(run_sigma({"train", "--quiet", "--model", "mlp", "--limit-train", "64", "--limit-test", "10",
                     "--max-steps", "1", "--out", (folder / "run").string()})
              .exit_code == 0);
  const std::string tiny = " --limit-train 64 --limit-test 10 ";
  for (const std::string& verb :
       {std::string("--help"), std::string("--version"), std::string("train --help"), std::string("env"),
        std::string("env --json"), std::string("summary"), std::string("gradcheck --layer Flatten"),
        std::string("data list"), "train --dry-run" + tiny, "compare --dry-run" + tiny,
        "eval --limit-test 10 --checkpoint " + checkpoint, "spectrum --checkpoint " + checkpoint,
        "train --quiet --json --model mlp --max-steps 1" + tiny}) {
    INFO(verb);
    for (const char* where : {"> /dev/full", ">&-"}) {
      INFO(where);
      RunResult r = shell(fmt::format("cd {}; exec \"$S\" {} {}", folder.path().string(), verb, where));
      INFO(r.err);
      CHECK(r.exit_code == 4);
      CHECK(contains(r.err, "error: standard output: cannot be written: "));
    }
  }
  // Nothing is lost where nothing is printed, and closed streams are not taken by files that are opened.
  RunResult r = shell(
      fmt::format("cd {}; exec \"$S\" train --quiet --model mlp --max-steps 1 --out closed {} <&- >&- 2>&-",
                  folder.path().string(), tiny));
  CHECK(r.exit_code == 0);
  CHECK(read_json(folder / "closed/summary.json")["steps"] == 1);
  // A reader that has seen enough is no failure worth a sentence.
  r = shell("\"$S\" gradcheck --layer Flatten | head -c 1");
  CHECK(r.exit_code == 0);
  CHECK(r.err.empty());
  r = shell("(sleep 0.2; exec \"$S\" data list; ) | true; exit ${PIPESTATUS[0]}");
  CHECK((r.exit_code == 141 || r.exit_code == 0));
  CHECK(r.err.empty());
}

TEST_CASE("names from files reach the terminal without control characters", "[cli][regression]") {
  TemporaryFolder folder;
  Dataset digits = make_synth_digits(40, 10);
  const std::string evil[] = {"cat\x1b[31m", "dog\x7f\x07"};
  for (auto [part, split] :
       {std::pair<const char*, const Split*>{"train", &digits.train}, {"test", &digits.test}})
    for (int64_t i = 0; i < split->size(); ++i) {
      fs::path where = folder / "set" / part / evil[i % 2];
      fs::create_directories(where);
      const uint8_t* p = split->images.data<uint8_t>() + i * 784;
      write_file_atomic((where / (std::to_string(i) + ".png")).string(),
                        png_bytes({28, 28, 1, Bytes(p, p + 784)}));
    }
  auto clean = [](const RunResult& r) {
    for (char c : r.out + r.err) {
      auto byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && c != '\n') || byte == 0x7f || byte == 0xff) return false;
    }
    return true;
  };
  RunResult r = run_sigma_in(
      folder.path(), {"train", "--data", "folder:set", "--model", "mlp", "--max-steps", "2", "--out", "run"});
  INFO(r.out << r.err);
  CHECK((r.exit_code == 0 || r.exit_code == 3));  // such names may be refused
  CHECK(clean(r));
  if (r.exit_code == 0) {
    r = run_sigma_in(folder.path(), {"eval", "--checkpoint", "run/weights/last.safetensors", "--json"});
    INFO(r.out << r.err);
    CHECK(r.exit_code == 0);
    CHECK(clean(r));
  }
  for (const Arguments& words : {Arguments{"eval", "--checkpoint", "no\x1b[31m\xff"},
                                 {"fly\x1b[31m"},
                                 {"train", "--ep\x07"},
                                 {"train", "--data", "\x1b]0;x\x07"},
                                 {"train", "--model", "\x1b[2J"}}) {
    r = run_sigma_in(folder.path(), words);
    INFO(r.err);
    CHECK(r.exit_code != 0);
    CHECK(contains(r.err, "error: "));
    CHECK(clean(r));
  }
}

// `data preview cifar10` worked half a minute without a word.
TEST_CASE("data preview says what it does from the start", "[cli][regression]") {
  TemporaryFolder folder;
  RunResult r = run_sigma_in(folder.path(), {"data", "preview", "synth-digits"});
  CHECK(r.exit_code == 0);
  CHECK(r.err.rfind("synth-digits: reading\n", 0) == 0);
  CHECK(contains(r.err, "whitening: "));
  CHECK(contains(r.err, "--no-whiten"));
  CHECK(
      run_sigma_in(folder.path(), {"data", "preview", "synth-digits", "--quiet", "--overwrite"}).err.empty());
}
