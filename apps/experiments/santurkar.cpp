#include "apps/experiments/santurkar.h"

#include <algorithm>
#include <cmath>

#include "apps/experiments/noise.h"
#include "apps/run/signals.h"

namespace sigma::app {

const char* const kVggNote =
    "Plain gradient descent at rate 0.03, batches of 128, He initial weights. The paper's rate is 0.1, at "
    "which this network without batch norm stays near the loss of chance for its first 60 steps; the rate "
    "was chosen by training losses, before anything else was measured.";

namespace {

// VGG-A (Simonyan and Zisserman 2015), 16 to 128 channels; what `norm` is stands behind each convolution.
std::string vgg_a(const std::string& norm) {
  return fmt::format(
      "let block(c) = {{ conv c, {}, relu }}\n"
      "block(16), maxpool 2, block(32), maxpool 2, 2 x block(64), maxpool 2, 2 x block(128), maxpool 2, "
      "2 x block(128), maxpool 2, flatten, linear classes",
      norm);
}

Series over_steps(const Laboratory& lab, const std::vector<Json>& seeds, const char* key, int64_t looks,
                  const VggNet& net, size_t color) {
  Series line;
  line.label = net.words;
  line.color = palette(color);
  for (int64_t i = 0; i < looks; ++i) {
    std::vector<double> values;
    for (const Json& s : seeds) values.push_back(filled(s.at(key), looks)[static_cast<size_t>(i)]);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    line.x.push_back(static_cast<double>(i * (lab.extent().steps / looks)));
    line.y.push_back(median_of(values));
    line.low.push_back(*low);
    line.high.push_back(*high);
  }
  return line;
}

// Of each seed the median of the measurements `key`.
std::vector<double> medians(const std::vector<Json>& seeds, const char* key, int64_t looks) {
  std::vector<double> all;
  for (const Json& s : seeds) all.push_back(median_of(filled(s.at(key), looks)));
  return all;
}

}  // namespace

std::vector<double> train_vgg(Laboratory& lab, const VggNet& net, uint64_t seed, int64_t looks,
                              const std::function<void(Module&, const Batch&)>& look) {
  const Dataset& data = lab.data();
  TrainSetup setup;
  setup.model = vgg_a(net.norm);
  setup.input = {data.channels(), data.height(), data.width(), data.classes()};
  setup.init = "kaiming";
  setup.loader = {.batch_size = 128, .seed = seed, .normalization = make_normalization("standard", data)};
  setup.optimizer = {.name = "sgd", .lr = kVggRate, .hyper = {{"momentum", 0}}};
  setup.seed = seed;
  Trainer trainer(data, setup);
  LoaderOptions direct = trainer.setup().loader;
  direct.threads = 0;
  Loader batches(data.train, direct);
  std::vector<double> losses;
  for (int64_t step = 0; step < lab.extent().steps; ++step) {
    if (const int signal = stop_signal()) throw Stopped{signal};
    if (step % (lab.extent().steps / looks) == 0) look(trainer.model(), batches.make(step));
    try {
      losses.push_back(trainer.step().loss);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::diverged) throw;
      break;
    }
  }
  return losses;
}

double or_infinite(double v) { return std::isfinite(v) ? v : HUGE_VAL; }

std::vector<double> filled(const Json& values, int64_t count) {
  std::vector<double> all = numbers_of(values);
  for (double& v : all) v = or_infinite(v);
  all.resize(static_cast<size_t>(count), HUGE_VAL);
  return all;
}

Chart chart_over_steps(const Laboratory& lab, const char* key, const char* what, int64_t looks,
                       const Measured& nets) {
  Chart chart{"", "steps", what, {}};
  for (const auto& [net, seeds] : nets)
    chart.series.push_back(over_steps(lab, seeds, key, looks, net, chart.series.size()));
  return chart;
}

size_t add_measure(Outcome& o, const Laboratory& lab, const Measured& nets, int64_t looks,
                   const VggMeasure& m, const char* published) {
  std::vector<std::vector<double>> of_nets;
  for (const auto& [net, seeds] : nets) {
    of_nets.push_back(medians(seeds, m.key, looks));
    o.findings.push_back({fmt::format("{}, {}", m.what, net.words), of_nets.size() == 1 ? published : "",
                          median_text(of_nets.back(), "{:.3g}", "diverged")});
  }
  Chart chart = chart_over_steps(lab, m.key, m.what, looks, nets);
  chart.log_y = true;
  o.plates.push_back({m.plate, m.caption, chart});
  size_t less = 0;
  for (size_t i = 0; i < of_nets[0].size(); ++i) less += of_nets[0][i] < of_nets[1][i] ? 1 : 0;
  return less;
}

Measured measure_vggs(Laboratory& lab, const std::vector<VggNet>& nets,
                      const std::function<Json(const VggNet&, uint64_t seed)>& measure) {
  Measured all;
  for (const VggNet& net : nets) all.push_back({net, {}});
  for (int64_t i = 0; i < lab.seeds(); ++i)
    for (auto& [net, seeds] : all)
      seeds.push_back(lab.unit(fmt::format("{}-{}", net.name, lab.seed(i)),
                               [&, &of = net] { return measure(of, lab.seed(i)); }));
  return all;
}

}  // namespace sigma::app
