#include <algorithm>
#include <cmath>

#include "apps/verbs/inspect.h"
#include "core/math.h"

namespace sigma::app {
namespace {

constexpr int64_t kLookImages = 64, kSizeImages = 512, kRest = 200, kPopulation = 400;

// Whether a step of `all` is one of some `wanted` evenly spread ones; the first and the last are.
bool is_due(int64_t step, int64_t all, int64_t wanted) {
  if (step == 0 || step == all || all <= wanted) return true;
  return step * wanted / all != (step - 1) * wanted / all;
}

// Training images in an order drawn from the seed: those of a folder are sorted by class.
class Images {
 public:
  Images(const Dataset& data, const TrainSetup& setup)
      : data_(data),
        normalization_(setup.loader.normalization),
        order_(permutation(data.train.size(), Rng(setup.seed, "inspect"))) {}

  int64_t size() const { return static_cast<int64_t>(order_.size()); }
  std::vector<int64_t> rows(int64_t count) const {
    return {order_.begin(), order_.begin() + std::min(count, size())};
  }
  Tensor normalized(int64_t count) const {
    return normalized_images(data_.train, rows(count), normalization_);
  }
  Tensor labels(int64_t count) const { return index_rows(data_.train.labels, rows(count)); }

 private:
  const Dataset& data_;
  const Normalization& normalization_;
  std::vector<int64_t> order_;
};

// The layer that is watched, and its channels.
void choose(Inspection& r, Module& model, const InspectOptions& o) {
  const std::vector<std::string> norms = norm_layers(model);
  if (norms.empty()) {
    if (!o.layer.empty())
      fail(ErrorKind::usage, "--layer", "the network has no layer that keeps running statistics, got \"{}\"",
           o.layer);
    if (!o.channels.empty())
      fail(ErrorKind::usage, "--channels", "the network has no layer that keeps running statistics");
    r.why =
        "The network has no batch norm, so there are no running statistics to watch, and training and "
        "eval mode do not differ by them: what follows is its state, what flows through it, and its input.";
    return;
  }
  r.layer = o.layer.empty() ? norms.back() : o.layer;
  if (std::find(norms.begin(), norms.end(), r.layer) == norms.end())
    fail(ErrorKind::usage, "--layer", "\"{}\" is no batch norm of the network, expected one of {}", r.layer,
         fmt::join(norms, ", "));
  const ChannelNorm& norm = *model.find(r.layer)->channel_norm();
  r.eps = norm.eps();
  r.momentum = norm.momentum();
  const auto count = static_cast<double>(norm.running_statistics().mean.size());
  std::vector<double> wanted = o.channels;
  if (wanted.empty()) wanted = {0, std::floor(count / 2), count - 1};
  for (double c : wanted) {
    if (c >= count)
      fail(ErrorKind::usage, "--channels", "{} has channels 0 to {}, got {}", r.layer, count - 1, c);
    const auto channel = static_cast<size_t>(c);
    if (std::find(r.channels.begin(), r.channels.end(), channel) == r.channels.end())
      r.channels.push_back(channel);
  }
}

void tell(const InspectOptions& o, const std::string& what, int64_t done, int64_t all) {
  if (o.progress) o.progress(what, done, all);
}

void train_steps(Trainer& trainer, int64_t steps, const std::function<void(int64_t)>& after) {
  for (int64_t step = 1; step <= steps; ++step) {
    trainer.step();
    after(step);
  }
}

// What `train` gives: trains, looking before it and after each step; a loss that is not finite ends it.
void watch(DistributionRun& run, Trainer& trainer, const Images& images, const InspectOptions& o,
           const std::function<void(const std::function<void(int64_t)>& after)>& train) {
  const Tensor seen = images.normalized(kLookImages), labels = images.labels(kLookImages);
  auto look = [&](int64_t step) {
    if (!is_due(step, o.steps, 10)) return;
    run.steps.push_back(step);
    run.looks.push_back(distributions(trainer.model(), seen, labels, trainer.setup().precision));
  };
  look(0);
  try {
    train([&](int64_t step) {
      look(step);
      tell(o, run.label + ", training", step, o.steps);
    });
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::diverged) throw;
    run.diverged_at = trainer.steps_done();
  }
}

// The network itself: its statistics and its gap at the same time.
void watch_network(Inspection& r, DistributionRun& run, Trainer& trainer, const Images& images,
                   const InspectOptions& o) {
  const Tensor batch = images.normalized(r.batch);
  auto gap = [&](int64_t step) {
    if (r.layer.empty() || !is_due(step, o.steps, 50)) return;
    r.gaps.push_back({step, mode_gap(trainer.model(), batch, trainer.setup().precision)});
    // Output by output the first and the last are shown.
    if (r.gaps.size() > 2) r.gaps[r.gaps.size() - 2].gap.train = r.gaps[r.gaps.size() - 2].gap.eval = {};
  };
  gap(0);
  watch(run, trainer, images, o, [&](const std::function<void(int64_t)>& after) {
    if (r.layer.empty()) return train_steps(trainer, o.steps, after);
    watch_statistics(trainer, r.layer, o.steps, [&](const StatisticsStep& s) {
      r.statistics.push_back(s);
      gap(s.step);
      after(s.step);
      return true;
    });
  });
}

void vary_batch_size(Inspection& r, Trainer& trainer, const Images& images, const InspectOptions& o) {
  int64_t count = 2;
  while (2 * count <= std::min(images.size(), kSizeImages)) count *= 2;
  r.size_images = count;
  const Tensor all = images.normalized(count);
  const DType precision = trainer.setup().precision;
  const Tensor input = layer_input(trainer.model(), r.layer, all, precision);
  for (int64_t size = 2; size <= std::max<int64_t>(2, count / 2); size *= 2) {
    tell(o, "the batch size: images a batch", size, count / 2);
    r.sizes.push_back({size, mode_gap_in_batches(trainer.model(), all, size, precision)});
    r.sizes.back().gap.train = r.sizes.back().gap.eval = {};
    if (input.dim(0) == count) r.variances.push_back(variance_in_batches(input, size));
  }
  const Tensor x = input.dim(0) == count ? slice(input, 0, 0, std::min(r.batch, count)) : input;
  r.variance = batch_moments(x).biased;
  for (int exponent = -10; exponent <= 2; ++exponent)
    r.eps_effects.push_back(eps_effect(x, std::pow(10, exponent)));
}

void vary_momentum(Inspection& r, Trainer& trainer, const InspectOptions& o) {
  // Whole epochs that the training has not begun: the first of them is the population, each image once.
  const int64_t epoch = trainer.steps_per_epoch(), begin = (trainer.steps_done() + epoch - 1) / epoch * epoch;
  Loader loader(trainer.dataset().train, trainer.setup().loader, begin);
  r.population_batches = std::min(kPopulation, epoch);
  r.rest_batches = kRest;
  r.epoch_batches = epoch;
  const int64_t all = r.population_batches + r.rest_batches;
  std::vector<BatchMoments> seen;
  for (int64_t i = 0; i < all; ++i) {
    std::vector<BatchMoments> one =
        moments_at_rest(trainer.model(), r.layer, loader, 1, trainer.setup().precision);
    seen.push_back(std::move(one[0]));
    tell(o, "the momentum: batches at rest", i + 1, all);
  }
  const auto middle = seen.begin() + r.population_batches;
  const ChannelStatistics population = population_of({seen.begin(), middle});
  const std::vector<BatchMoments> rest(middle, seen.end());
  std::vector<std::optional<double>> momenta{0.01, 0.1, 0.5, std::nullopt};
  if (std::find(momenta.begin(), momenta.end(), r.momentum) == momenta.end())
    momenta.insert(momenta.begin(), r.momentum);
  for (const std::optional<double>& m : momenta) r.momenta.push_back(momentum_trace(rest, population, m));
}

std::string label_of(const TrainSetup& s) {
  if (!s.batch_norm || s.norm == "none") return "without normalization";
  return s.norm == "batch" ? "with batch norm" : fmt::format("with {} norm", s.norm);
}

// Fresh networks with and without normalization, those that `r` has not seen yet.
void compare_fresh(Inspection& r, const Dataset& data, TrainSetup setup, const Images& images,
                   const InspectOptions& o) {
  const bool saved = setup.weights != nullptr;
  setup.weights = nullptr;
  for (const bool other : {false, true}) {
    if (!saved && !other) continue;  // that is the network itself
    TrainSetup s = setup;
    if (other) s.batch_norm = !(setup.batch_norm && setup.norm != "none");
    if (other && s.batch_norm && s.norm == "none") s.norm = "batch";
    DistributionRun run;
    run.label = (saved ? "fresh, " : "") + label_of(s);
    try {
      Trainer trainer(data, s);
      if (other && trainer.model().state_dict().items.size() == r.before.size()) {
        r.notes.push_back(
            "The network's text has no place for a normalization, so it is the same with and without one.");
        continue;
      }
      watch(run, trainer, images, o,
            [&](const std::function<void(int64_t)>& after) { train_steps(trainer, o.steps, after); });
    } catch (const Error& e) {  // as rates by layer of layers that are gone
      if (e.kind() != ErrorKind::usage) throw;
      r.notes.push_back(fmt::format("The network {} was left out: {}.", run.label, e.what()));
      continue;
    }
    r.runs.push_back(std::move(run));
  }
}

}  // namespace

Inspection inspect(const Dataset& data, const TrainSetup& setup, const InspectOptions& o) {
  Trainer trainer(data, setup);
  const Images images(data, setup);
  Inspection r;
  choose(r, trainer.model(), o);
  r.parameters = trainer.model().parameter_count();
  r.batch_size = setup.loader.batch_size;
  r.batch = std::min(std::max<int64_t>(2, r.batch_size), images.size());
  r.look_images = std::min(kLookImages, images.size());
  if (!r.layer.empty() && images.size() < 4)
    fail(ErrorKind::data, data.name, "expected at least 4 training images, got {}", images.size());
  r.before = state_entries(trainer.model());
  r.runs.push_back({setup.weights ? "the checkpoint" : label_of(setup)});
  watch_network(r, r.runs[0], trainer, images, o);
  r.steps = trainer.steps_done();
  r.after = state_entries(trainer.model());
  if (!r.layer.empty()) {
    vary_batch_size(r, trainer, images, o);
    vary_momentum(r, trainer, o);
  }
  compare_fresh(r, data, setup, images, o);
  for (const DistributionRun& run : r.runs)
    if (run.diverged_at >= 0) r.notes.push_back(diverged_text(run));
  r.image = normalized_image(data, setup.loader.normalization, images.rows(kSizeImages));
  return r;
}

}  // namespace sigma::app
