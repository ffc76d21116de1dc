// What batch norm does within a network, as numbers: against what was worked out by hand, and without a
// trace.
#include <training/inspection.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/math.h"
#include "core/parallel.h"
#include "layers/layers.h"
#include "tests/support/support.h"
#include "training/distributions.h"
#include "training/measures.h"

using namespace sigma;
using namespace sigma::test;

namespace {

// The first three rows of the batch norm specification's examples.
Tensor small() { return Tensor::from<double>({1, 2, 3, 6, 5, 10}, {3, 2}); }

TrainSetup setup_for(const std::string& model = "lenet5") {
  TrainSetup s;
  s.model = model;
  s.loader.batch_size = 32;
  s.loader.threads = 0;
  s.optimizer = {"sgd", 0.05, 0, {}};
  return s;
}

void check_vector(const std::vector<double>& got, const std::vector<double>& expected,
                  double margin = 1e-12) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).margin(margin).epsilon(margin));
}

// Runs `look` and checks that the network is as it was.
void leaves_no_trace(Module& model, const std::function<void()>& look) {
  std::vector<bool> modes;
  model.visit([&](const std::string&, Module& m) { modes.push_back(m.is_training()); });
  const StateDict before = copy_of(model);
  look();
  const StateDict after = model.state_dict();
  for (size_t i = 0; i < before.items.size(); ++i) {
    INFO(before.items[i].first);
    CHECK(identical(before.items[i].second, after.items[i].second));
  }
  for (const Variable& p : model.parameters()) CHECK(!p.grad().defined());
  size_t i = 0;
  model.visit([&](const std::string&, Module& m) {
    CHECK(m.is_training() == modes[i++]);
    CHECK(!m.has_forward_hooks());
  });
}

}  // namespace

TEST_CASE("the state of a network has its names, those of the literature, shapes and values",
          "[inspection]") {
  Sequential net;
  net.append("fc", std::make_shared<Linear>(2, 3));
  net.append("bn", std::make_shared<BatchNorm1d>(3));
  auto& bn = layer_as<BatchNorm1d>(net, "bn");
  bn.running_var.mutable_value().copy_(Tensor::from<double>({1, 2, 6}, {3}));
  const std::vector<StateEntry> state = state_entries(net);
  std::vector<std::string> names, symbols;
  for (const StateEntry& e : state) {
    names.push_back(e.name);
    symbols.push_back(e.symbol);
  }
  CHECK(names == std::vector<std::string>{"fc.weight", "fc.bias", "bn.weight", "bn.bias", "bn.running_mean",
                                          "bn.running_var", "bn.num_batches_tracked"});
  CHECK(symbols == std::vector<std::string>{"", "", "gamma", "beta", "running mean", "running variance",
                                            "batches seen"});
  CHECK(state[0].shape == Shape{3, 2});
  CHECK(state[2].mean == 1);
  CHECK(state[5].mean == 3);
  CHECK(state[5].low == 1);
  CHECK(state[5].high == 6);
  CHECK(state[6].dtype == DType::int64);
  CHECK(state[6].shape == Shape{});
  CHECK(norm_layers(net) == std::vector<std::string>{"bn"});
}

TEST_CASE("moments of a batch are those worked out by hand, whatever the rank", "[inspection]") {
  const BatchMoments m = batch_moments(small());
  CHECK(m.values == 3);
  check_vector(m.mean, {3, 6});
  check_vector(m.biased, {8. / 3, 32. / 3});
  check_vector(m.unbiased(), {4, 16});
  // 2 images of 2 channels of 2 x 1 pixels.
  const BatchMoments image = batch_moments(Tensor::from<float>({1, 2, 10, 20, 3, 6, 30, 40}, {2, 2, 2, 1}));
  CHECK(image.values == 4);
  check_vector(image.mean, {3, 25});
  check_vector(image.biased, {3.5, 125});
  check_vector(image.unbiased(), {14. / 3, 500. / 3});
  check_vector(batch_moments(Tensor::from<double>({1, 2, 10, 20, 3, 6, 30, 40}, {2, 2, 2})).mean, {3, 25});
  CHECK(std::isnan(batch_moments(Tensor::from<double>({7}, {1, 1})).unbiased()[0]));
  CHECK(error_of([] { batch_moments(Tensor::ones({3})); }).find("expected values (N, C)") !=
        std::string::npos);
}

TEST_CASE("watched statistics obey the rule of the running ones, and the training is the same as unwatched",
          "[inspection]") {
  const Dataset data = make_synth_digits(160, 10);
  Trainer watched(data, setup_for()), plain(data, setup_for());
  const std::string layer = norm_layers(watched.model()).back();
  CHECK(layer == "bn4");
  const auto steps = watch_statistics(watched, layer, 8);
  for (int i = 0; i < 8; ++i) plain.step();
  REQUIRE(steps.size() == 8);
  CHECK(watched.steps_done() == 8);
  std::vector<double> mean(84, 0), var(84, 1);
  for (const StatisticsStep& s : steps) {
    CHECK(s.batch.values == 32);
    const std::vector<double> unbiased = s.batch.unbiased();
    for (size_t c = 0; c < mean.size(); ++c) {
      CHECK(unbiased[c] == Approx(s.batch.biased[c] * 32 / 31));
      mean[c] = 0.9 * mean[c] + 0.1 * s.batch.mean[c];
      var[c] = 0.9 * var[c] + 0.1 * unbiased[c];
    }
    check_vector(s.running.mean, mean, 1e-5);  // the buffers are float32
    check_vector(s.running.var, var, 1e-5);
  }
  // A watched layer is not computed together with its neighbours, which sums elsewhere in float64.
  for (const auto& [name, t] : plain.model().state_dict().items)
    CHECK(max_abs_difference(t.to(DType::float64),
                             watched.model().state_dict().find(name)->to(DType::float64)) < 1e-5);
  int told = 0;
  CHECK(watch_statistics(watched, layer, 5, [&](const StatisticsStep&) { return ++told < 2; }).size() == 2);
  for (const char* wrong : {"fc1", "bn9", "relu1"})
    CHECK(error_of([&] { watch_statistics(watched, wrong, 1); }).find(wrong) != std::string::npos);
}

TEST_CASE("a batch norm's gap between the modes is what its formulas say, and leaves no trace",
          "[inspection]") {
  BatchNorm1d bn(2, {.eps = 0});
  bn.to(DType::float64);
  const Tensor x = small();
  ModeGap gap;
  leaves_no_trace(bn, [&] { gap = mode_gap(bn, x); });
  // In eval mode x itself, in training mode (x - mean) / deviation.
  const double one = std::sqrt(1.5);
  check_vector(gap.eval.to_vector(), {1, 2, 3, 6, 5, 10});
  check_vector(gap.train.to_vector(), {-one, -one, 0, 0, one, one});
  const double d[] = {1 + one, 2 + one, 3, 6, 5 - one, 10 - one};
  double squares = 0;
  for (double v : d) squares += v * v;
  CHECK(gap.rms == Approx(std::sqrt(squares / 6)));
  CHECK(gap.largest == Approx(10 - one));
  CHECK(gap.spread == Approx(1));
  CHECK(gap.relative() == Approx(gap.rms));
  // Statistics that are one batch's own, but for Bessel: every output differs by sqrt(M / (M - 1)) alone.
  bn.set_momentum(std::nullopt);
  bn.train();
  bn(Variable(x));
  gap = mode_gap(bn, x);
  check_vector(mul(gap.eval, Tensor::full({3, 2}, std::sqrt(1.5), DType::float64)).to_vector(),
               gap.train.to_vector());
  CHECK(gap.relative() == Approx(1 - std::sqrt(2. / 3)));
  // In training mode the first image is of class 1 and the second of class 0; in eval mode both are of 0.
  bn.running_mean.mutable_value().copy_(Tensor::from<double>({0, 100}, {2}));
  CHECK(mode_gap(bn, Tensor::from<double>({0, 1, 1, 0}, {2, 2})).same_class == 0.5);
  // Frozen statistics, and what has none, are the same in both modes.
  bn.freeze();
  CHECK(mode_gap(bn, x).rms == 0);
  Dropout dropout({.p = 0.5});
  CHECK(mode_gap(dropout, x).rms == 0);
}

TEST_CASE("a gap in batches is that of each batch, and small batches open it", "[inspection]") {
  BatchNorm1d bn(3);
  bn.to(DType::float64);
  const Tensor x = randn({64, 3}, 1);
  for (int i = 0; i < 300; ++i) bn(Variable(x));  // running statistics of all of x
  double before = 1e9;
  for (int64_t size : {2, 4, 8, 16, 32, 64}) {
    ModeGap gap;
    leaves_no_trace(bn, [&] { gap = mode_gap_in_batches(bn, x, size); });
    CHECK(gap.relative() < before);
    before = gap.relative();
  }
  CHECK(before < 0.01);  // sqrt(64 / 63) - 1
  const ModeGap first = mode_gap(bn, slice(x, 0, 0, 24)), second = mode_gap(bn, slice(x, 0, 24, 24));
  const ModeGap both = mode_gap_in_batches(bn, x, 24);  // the last 16 rows are left over
  CHECK(identical(both.train, cat({first.train, second.train}, 0)));
  CHECK(both.rms == Approx(std::sqrt((first.rms * first.rms + second.rms * second.rms) / 2)));
  for (int64_t wrong : {1, 65})
    CHECK(error_of([&] { mode_gap_in_batches(bn, x, wrong); }).find("batches of 2 to 64") !=
          std::string::npos);
}

TEST_CASE("variances of batches are Bessel's: the biased is short by 1 / M, the unbiased right on average",
          "[inspection]") {
  // Pairs (0, 2) and (4, 6): variances 1 and 2 within; the whole has 20/3 unbiased.
  const Tensor pairs = Tensor::from<double>({0, 2, 4, 6}, {4, 1});
  const BatchVariance v = variance_in_batches(pairs, 2);
  CHECK(v.values == 2);
  CHECK(v.biased == Approx(1 / (20. / 3)));
  CHECK(v.unbiased == Approx(2 / (20. / 3)));
  CHECK(variance_in_batches(pairs, 4).unbiased == Approx(1));
  // The third channel does not vary and does not count.
  Tensor x = randn({4096, 3}, 7);
  for (int64_t i = 0; i < 4096; ++i) x.mutable_data<double>()[3 * i + 2] = 5;
  for (int64_t size : {2, 8, 32}) {
    const BatchVariance b = variance_in_batches(x, size);
    const auto m = static_cast<double>(size);
    CHECK(b.unbiased == Approx(b.biased * m / (m - 1)));
    CHECK(b.unbiased == Approx(1).margin(0.05));
    CHECK(b.biased == Approx((m - 1) / m).margin(0.05));
  }
}

TEST_CASE("a momentum's trace is the layer's own, its start decays and its floor is what theory says",
          "[inspection]") {
  // By hand: batches of mean 1 and 3, variance 2 and 4; the population has mean 2 and variance 4.
  std::vector<BatchMoments> two(2);
  two[0] = {2, {1}, {1}};
  two[1] = {2, {3}, {2}};
  const ChannelStatistics p = population_of(two);
  check_vector(p.mean, {2});
  check_vector(p.var, {3});
  const ChannelStatistics population{{2}, {4}};
  const MomentumTrace half = momentum_trace(two, population, 0.5);
  check_vector(half.mean_error, {(2 - 0.5) / 2, (2 - 1.75) / 2});  // 0.5, then 1.75
  check_vector(half.var_error, {(4 - 1.5) / 4, (4 - 2.75) / 4});   // 1.5, then 2.75
  CHECK(half.floor == Approx(std::sqrt(0.5 / 1.5 * 0.25)));        // both batches are half a deviation off
  const MomentumTrace all = momentum_trace(two, population, std::nullopt);
  check_vector(all.mean_error, {0.5, 0});
  check_vector(all.var_error, {0.5, 0.25});
  CHECK(all.floor == 0);
  // The layer itself, over 40 batches.
  BatchNorm1d bn(2, {.momentum = 0.3});
  bn.to(DType::float64);
  std::vector<BatchMoments> batches;
  for (uint64_t i = 0; i < 400; ++i) batches.push_back(batch_moments(randn({16, 2}, i)));
  const ChannelStatistics standard{{0, 0}, {1, 1}};
  const MomentumTrace trace = momentum_trace(batches, standard, 0.3);
  for (uint64_t i = 0; i < 40; ++i) {
    bn(Variable(randn({16, 2}, i)));
    const ChannelStatistics now = bn.running_statistics();
    CHECK(trace.mean_error[i] ==
          Approx(std::sqrt((now.mean[0] * now.mean[0] + now.mean[1] * now.mean[1]) / 2)));
  }
  double settled = 0;
  for (size_t i = 50; i < 400; ++i) settled += trace.mean_error[i] * trace.mean_error[i] / 350;
  CHECK(std::sqrt(settled) == Approx(trace.floor).epsilon(0.1));
  CHECK(trace.floor == Approx(std::sqrt(0.3 / 1.7 / 16)).epsilon(0.1));  // 1 / 16: of the mean of 16 values
  // No batches but the start: it falls as (1 - m)^t.
  const std::vector<BatchMoments> still(20, BatchMoments{16, {5}, {15. / 16}});
  const MomentumTrace decay = momentum_trace(still, {{5}, {1}}, 0.1);
  for (size_t t = 0; t < 20; ++t) CHECK(decay.mean_error[t] == Approx(5 * std::pow(0.9, t + 1)));
}

TEST_CASE("eps shrinks a channel by sqrt(v / (v + eps))", "[inspection]") {
  const Tensor x = Tensor::from<float>({1, 7, 3, 7, 5, 7}, {3, 2});
  for (double eps : {0., 1e-5, 1., 100.}) {
    const EpsEffect e = eps_effect(x, eps);
    const double v = 8. / 3;
    CHECK(e.deviation[0] == Approx(std::sqrt(v / (v + eps))).epsilon(1e-9));
    CHECK(e.slope[0] == Approx(1 / std::sqrt(v + eps)));
    CHECK(e.deviation[1] == 0);
    CHECK(e.slope[1] == (eps > 0 ? Approx(1 / std::sqrt(eps)) : Approx(0)));
  }
}

TEST_CASE("distributions are the percentiles of every layer's output and of its gradient", "[inspection]") {
  Sequential net;
  net.append("fc", std::make_shared<Linear>(3, 4));
  net.append("bn", std::make_shared<BatchNorm1d>(4));
  net.append("relu", std::make_shared<ReLU>());
  net.append("out", std::make_shared<Linear>(4, 2));
  initialize(net, 3);
  net.to(DType::float64);
  const Tensor x = randn({10, 3}, 2);
  const Tensor labels = Tensor::from<int64_t>({0, 1, 1, 0, 1, 0, 0, 1, 1, 0}, {10});
  std::vector<LayerDistribution> got;
  leaves_no_trace(net, [&] { got = distributions(net, x, labels); });
  REQUIRE(got.size() == 4);
  const std::vector<double> q(kBandPercentiles.begin(), kBandPercentiles.end());
  const std::vector<std::string> names{"fc", "bn", "relu", "out"};
  // The same by hand: what is behind a layer, of a leaf in the place of its output.
  Variable at{x};
  for (size_t i = 0; i < 4; ++i) {
    const NoStatisticsUpdate keep;
    INFO(names[i]);
    CHECK(got[i].layer == names[i]);
    CHECK(got[i].kind == net.find(names[i])->kind());
    at = Variable((*net.find(names[i]))(at).value());
    const Variable leaf(at.value(), true);
    Variable y = leaf;
    for (size_t k = i + 1; k < 4; ++k) y = (*net.find(names[k]))(y);
    const Tensor gradient = grad({cross_entropy(y, labels)}, {leaf})[0].value();
    check_vector({got[i].activation.begin(), got[i].activation.end()}, percentiles(at.value(), q));
    check_vector({got[i].gradient.begin(), got[i].gradient.end()}, percentiles(gradient, q));
  }
  // Without trainable weights, too; and a layer that is called twice is there twice.
  net.freeze();
  CHECK(distributions(net, x, labels).size() == 4);
  Sequential twice;
  auto relu = std::make_shared<ReLU>();
  twice.append("a", relu);
  twice.append("fc", std::make_shared<Linear>(3, 2));
  twice.append("b", relu);
  const auto seen = distributions(twice, x.to(DType::float32), labels);
  REQUIRE(seen.size() == 3);
  CHECK(seen[2].layer == "a (2)");
}

TEST_CASE("looks at a network give the same bits on any number of threads, and leave no trace",
          "[inspection]") {
  const Dataset data = make_synth_digits(160, 10);
  std::vector<std::vector<double>> seen;
  for (int threads : {1, 3}) {
    const int before = num_threads();
    set_num_threads(threads);
    Trainer trainer(data, setup_for("cnn"));
    trainer.step();
    Module& model = trainer.model();
    std::vector<int64_t> rows(48);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
    const Tensor images = normalized_images(data.train, rows, {}),
                 labels = index_rows(data.train.labels, rows);
    std::vector<double> numbers;
    auto add = [&](const std::vector<double>& v) { numbers.insert(numbers.end(), v.begin(), v.end()); };
    leaves_no_trace(model, [&] {
      for (const LayerDistribution& d : distributions(model, images, labels)) {
        add({d.activation.begin(), d.activation.end()});
        add({d.gradient.begin(), d.gradient.end()});
      }
      add(mode_gap(model, images).train.to_vector());
      add({mode_gap_in_batches(model, images, 8).rms});
      const Tensor input = layer_input(model, "bn3", images);
      CHECK(input.shape() == Shape{48, 128});
      add(eps_effect(input, 0.1).deviation);
      Loader loader(data.train, trainer.setup().loader);
      const auto moments = moments_at_rest(model, "bn1", loader, 3);
      CHECK(moments.size() == 3);
      CHECK(moments[0].values == 32 * 28 * 28);
      add(population_of(moments).var);
    });
    seen.push_back(numbers);
    set_num_threads(before);
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("shares of a histogram, and images back from Normalize(mean, std)", "[inspection]") {
  const Tensor x = Tensor::from<double>({-5, 0, 0.5, 1, 1.5, 2, 9, NAN}, {8});
  check_vector(histogram_shares(x, 0, 2, 2), {3. / 8, 4. / 8});
  CHECK(error_of([&] { histogram_shares(x, 1, 1, 4); }).find("expected bins") != std::string::npos);
  const Dataset data = make_synth_objects(40, 10);
  for (const char* kind : {"none", "unit", "standard"}) {
    INFO(kind);
    const Normalization n = make_normalization(kind, data);
    const Tensor pixels = normalized_images(data.train, {3, 1, 39}, make_normalization("none", data)),
                 back = denormalized_images(normalized_images(data.train, {3, 1, 39}, n), n);
    CHECK(back.shape() == pixels.shape());
    CHECK(max_abs_difference(back.contiguous(), pixels.contiguous()) < 1e-3);
  }
  const Normalization hand{"standard", {0.5}, {0.25}};
  check_vector(denormalized_images(Tensor::from<float>({0, 1, -2, 2}, {1, 1, 2, 2}), hand).to_vector(),
               {127.5, 191.25, 0, 255});
  const Normalization zca = make_normalization("zca", make_synth_digits(60, 5));
  CHECK(error_of([&] {
          denormalized_images(Tensor::zeros({1, 1, 28, 28}), zca);
        }).find("no way back") != std::string::npos);
}
