// Bugs that were found by reading and by trial; each test tells its story.
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "core/math.h"
#include "core/safetensors.h"
#include "data/dataset.h"
#include "data/formats/image_folder.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;

// Batch norm keeps a rearranged copy of a contiguous image batch. Its backward read the leaf's present value
// instead, so writing to x after the forward pass gave a wrong gradient without a word.
TEST_CASE("writing to an image batch after batch norm saw it does not change its gradient", "[regression]") {
  Tensor data = test::randn({3, 2, 4, 4}, 1), seed = test::randn({3, 2, 4, 4}, 2);
  auto gradient = [&](bool write) {
    Variable x(data.clone(), true), y = batch_norm(x, {});
    if (write) x.mutable_value().mutable_data<double>()[0] = 100;
    y.backward(seed);
    return x.grad();
  };
  CHECK(norm2(gradient(false)) > 0.1);
  CHECK(identical(gradient(false), gradient(true)));
}

// The same with a product, whose operand was given another tensor before the backward pass.
TEST_CASE("giving a leaf another tensor does not change the gradients of what it was used in",
          "[regression]") {
  Variable a(Tensor::full({}, 3, DType::float64), true), b(Tensor::full({}, 5, DType::float64), true);
  Variable y = a * b;
  a.mutable_value() = Tensor::full({}, 100, DType::float64);
  y.backward();
  CHECK(b.grad().item() == 3);
  CHECK(a.grad().item() == 5);
}

// The second derivative of a layer that saves its input in another layout than the leaf's.
TEST_CASE("second derivatives reach an image batch that batch norm rearranged", "[regression]") {
  Variable x(test::randn({3, 2, 2, 2}, 3), true);
  GradcheckResult r = gradgradcheck([](const Variables& v) { return batch_norm(v[0], {}); }, {x});
  INFO(r.message);
  CHECK(r.passed);
  CHECK(r.largest_gradient > 1e-3);
}

// Only the modules checked: the functions read a bias of one element past its end, and divided by a stride of
// zero.
TEST_CASE("convolution and linear functions refuse biases, strides and groups that do not fit",
          "[regression]") {
  Variable x(test::randn({1, 3, 5, 5}, 1)), w(test::randn({4, 3, 3, 3}, 2)), one(test::randn({1}, 3));
  CHECK(error_of([&] {
          conv2d(x, w, one, {});
        }).find("[conv2d] expected a bias of 4 float64 elements, got 1") == 0);
  CHECK(error_of([&] { conv2d(x, w, {}, {.stride = 0}); }).find("[conv2d] expected stride") == 0);
  CHECK(error_of([&] { conv2d(x, w, {}, {.padding = -1}); }).find("[conv2d] expected padding") == 0);
  Variable five(test::randn({5, 1, 3, 3}, 4));
  CHECK(error_of([&] {
          conv2d(x, five, {}, {.groups = 3});
        }).find("[conv2d] expected groups that divide 5") == 0);
  Variable v(test::randn({2, 6}, 5)), m(test::randn({4, 6}, 6));
  CHECK(error_of([&] { linear(v, m, one); }).find("[linear] expected a bias of 4 float64 elements, got 1") ==
        0);
}

// Statistics that were frozen on purpose were reset by update_bn.
TEST_CASE("update_bn leaves the statistics of a frozen batch norm alone", "[regression]") {
  BatchNorm1d bn(2);
  bn.running_mean.mutable_value().fill_(5);
  bn.set_track_running_stats(false);
  int batches = 2;
  update_bn(bn, [&] {
    return batches-- > 0 ? Variable(test::randn({4, 2}, 1, DType::float32)) : Variable();
  });
  CHECK(bn.running_mean.value().to_vector() == std::vector<double>{5, 5});
}

// Renaming the digest's key in the header switched all verification off.
TEST_CASE("a checkpoint without its digest is refused", "[regression]") {
  test::TemporaryFolder folder;
  std::string run = (folder / "run").string();
  test::RunResult trained = test::run_sigma({"train", "--limit-train", "32", "--limit-test", "10", "--model",
                                             "lenet5", "--max-steps", "1", "--quiet", "--out", run});
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  SafeTensors content = load_safetensors(run + "/weights/last.safetensors");
  REQUIRE(content.metadata.erase("sha256") == 1);
  std::string altered = (folder / "altered.safetensors").string();
  save_safetensors(altered, content);
  test::RunResult r = test::run_sigma({"eval", "--checkpoint", altered});
  CHECK(r.exit_code == 6);
  CHECK(r.err.find("altered.safetensors: the content was altered") != std::string::npos);
}

// A link to itself among the class folders ended in "internal error".
TEST_CASE("a link that leads in a circle is no class folder", "[regression]") {
  test::TemporaryFolder folder;
  std::filesystem::create_directories(folder / "train");
  std::filesystem::create_symlink("loop", folder / "train/loop");
  std::string message = error_of([&] { load_image_folder(folder.path().string()); });
  CHECK(message.find("expected at least one class folder") != std::string::npos);
}

// These were accepted and did nothing, or made all arms the same.
TEST_CASE("flags that could have no effect are refused", "[regression]") {
  auto refused = [](std::vector<std::string> arguments, const std::string& message) {
    test::RunResult r = test::run_sigma(arguments);
    INFO(r.err);
    CHECK(r.exit_code == 2);
    CHECK(r.err.find(message) != std::string::npos);
  };
  refused({"train", "--schedule", "one-cycle", "--warmup", "5", "--dry-run"},
          "one-cycle has a warm-up of its own");
  refused({"compare", "--mean", "0.5", "--dry-run"}, "would make every --normalize the same");
  refused({"compare", "--save-every", "5", "--dry-run"}, "unknown flag --save-every");
  refused({"train", "--resume", "--config", "x.json"}, "cannot be combined with --config");
}
