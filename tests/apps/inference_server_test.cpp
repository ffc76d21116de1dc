// The example that serves a checkpoint, as a client sees it.
#include <fstream>
#include <sstream>

#include "apps/training/checkpoint.h"
#include "apps/training/trainer.h"
#include "core/math.h"
#include "tests/support/runs.h"
#include "tests/support/sample_files.h"

using namespace sigma;
using namespace sigma::test;

namespace {

Image image_of(const Split& split, int64_t i) {
  Image image{split.images.dim(2), split.images.dim(3), split.images.dim(1), {}};
  const auto size = static_cast<size_t>(image.height * image.width * image.channels);
  const uint8_t* first = split.images.data<uint8_t>() + static_cast<size_t>(i) * size;
  image.pixels.assign(first, first + size);
  return image;
}

}  // namespace

TEST_CASE("the inference server answers a line each, a bad one with an error, until the end", "[examples]") {
  TemporaryFolder folder;
  Dataset data = make_synth_digits(200, 2);
  TrainSetup setup;
  setup.model = "mlp";
  setup.loader.batch_size = 20;
  setup.schedule = {Schedule::constant, 20};
  Trainer trainer(data, setup);
  while (trainer.steps_done() < 20) trainer.step();
  save_checkpoint((folder / "net.safetensors").string(), checkpoint_of(trainer));
  for (int64_t i = 0; i < 2; ++i)
    put(folder / (std::to_string(i) + ".png"), png_bytes(image_of(data.test, i)));

  // A client that waits for each answer before it asks again; then the server's exit code.
  RunResult r = run({"env", "-C", folder.path().string(), "bash", "-c", R"(
    coproc server { "$0" net.safetensors; }
    pid=$server_PID
    exec {ask}>&"${server[1]}" {answer}<&"${server[0]}" {server[1]}>&-
    for path in 0.png absent.png 1.png; do
      echo "$path" >&$ask
      IFS= read -r -t 500 line <&$answer && printf '%s\n' "$line"
    done
    exec {ask}>&-
    wait "$pid")",
                     SIGMA_INFERENCE_SERVER});
  INFO(r.out + r.err);
  CHECK(r.exit_code == 0);
  CHECK(r.err.empty());
  std::istringstream lines(r.out);
  std::vector<std::string> answers;
  for (std::string line; std::getline(lines, line);) answers.push_back(line);
  REQUIRE(answers.size() == 3);
  CHECK(answers[1].rfind("error: absent.png: ", 0) == 0);

  trainer.model().eval();
  NoGrad off;
  for (int64_t i = 0; i < 2; ++i) {
    Tensor image = normalized_images(data.test, {i}, setup.loader.normalization);
    Tensor probability = softmax(trainer.model()(Variable(image)).value(), 1);
    int64_t best = argmax(probability, 1).data<int64_t>()[0];
    std::istringstream answer(answers[static_cast<size_t>(2 * i)]);
    std::string name, unit;
    double share = 0, took = 0;
    answer >> name >> share >> took >> unit;
    CHECK(name == data.class_names[static_cast<size_t>(best)]);
    CHECK(std::abs(share - probability.at({0, best})) < 0.002);  // three digits, and batch norm folded
    CHECK(took > 0);
    CHECK(unit == "ms");
  }
}

TEST_CASE("the inference server refuses what is no checkpoint", "[examples]") {
  RunResult r = run({SIGMA_INFERENCE_SERVER, "/dev/null"});
  CHECK(r.exit_code == 6);
  CHECK(r.err.rfind("error: /dev/null: ", 0) == 0);
  CHECK(r.out.empty());
  CHECK(run({SIGMA_INFERENCE_SERVER}).exit_code == 2);
}
