// `sigma compress`: layers in two factors by singular value decomposition, what it costs and what it gains.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/report/plot.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/training/compression.h"
#include "apps/verbs/bench.h"
#include "apps/verbs/saved_model.h"
#include "apps/verbs/verbs.h"
#include "layers/passes/fold.h"
#include "layers/passes/update_bn.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

bool has_batch_norm(Module& model) {
  bool found = false;
  model.visit([&](const std::string&, Module& m) { found |= m.channel_norm() != nullptr; });
  return found;
}

// The running statistics belong to the layers as they were: they are measured anew on training images.
void measure_statistics(Module& model, const Dataset& data, const Normalization& n, int64_t images) {
  constexpr int64_t kBatch = 250;
  images = std::min(images, data.train.size());
  if (images < 2 || !has_batch_norm(model)) return;
  // update_bn gives each batch the same weight, so they are of one size; a folder's images are sorted by
  // class, so each batch takes its images from everywhere.
  const int64_t batches = (images + kBatch - 1) / kBatch;
  int64_t batch = 0;
  update_bn(model, [&]() -> Variable {
    if (batch == batches) return {};
    std::vector<int64_t> rows;
    for (int64_t i = batch++; i < images; i += batches) rows.push_back(i * data.train.size() / images);
    return Variable(normalized_images(data.train, rows, n));
  });
}

// Images a second of both networks as they would be served, batch norm folded, measured in turn.
std::pair<double, double> measure_speed(const SavedModel& before, const SavedModel& after, const Split& test,
                                        double seconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < std::min<int64_t>(128, test.size()); ++i) rows.push_back(i);
  Variable x(normalized_images(test, rows, before.normalization));
  std::vector<ModulePtr> models;
  for (const SavedModel* m : {&before, &after}) {
    TrainSetup s;
    s.model = m->name, s.input = m->input, s.batch_norm = m->batch_norm, s.factors = m->factors;
    models.push_back(make_network(s));
    models.back()->load_state_dict(m->model->state_dict());
    models.back()->eval();
    fold_batch_norms(*models.back());
  }
  NoGrad off;
  std::vector<double> times[2];
  auto start = Clock::now();
  for (int round = 0; round < 8 || std::chrono::duration<double>(Clock::now() - start).count() < seconds;
       ++round)
    for (size_t i : {0, 1}) {
      auto t = Clock::now();
      (*models[i])(x);
      if (round >= 3) times[i].push_back(std::chrono::duration<double>(Clock::now() - t).count());
    }
  auto rate = [&](std::vector<double>& t) {
    auto middle = t.begin() + static_cast<std::ptrdiff_t>(t.size() / 2);
    std::nth_element(t.begin(), middle, t.end());
    return static_cast<double>(rows.size()) / *middle;
  };
  return {rate(times[0]), rate(times[1])};
}

struct Totals {
  int64_t parameters = 0, macs = 0;
};
Totals totals_of(const std::vector<Candidate>& all, const std::vector<Choice>& choices) {
  Totals t;
  for (size_t i = 0; i < all.size(); ++i)
    t.parameters += parameters_of(all[i], choices[i]), t.macs += macs_of(all[i], choices[i]);
  return t;
}

std::vector<Choice> choose(const std::vector<Candidate>& all, const CompressOptions& c) {
  if (c.energy) return choose_by_energy(all, *c.energy);
  if (c.rank) {
    int64_t possible = 0;
    for (const Candidate& a : all)
      for (const FactorOption& o : a.options) possible = std::max(possible, o.max_rank());
    if (*c.rank > possible)
      fail(ErrorKind::usage, "--rank", "expected at most {}, the rank of the largest layer, got {}", possible,
           *c.rank);
    return choose_by_rank(all, *c.rank);
  }
  if (c.macs_ratio) return choose_by_share(all, *c.macs_ratio, Cost::macs);
  return choose_by_share(all, *c.ratio, Cost::parameters);
}

void check_compress(const Options& o, const CompressOptions& c) {
  int given = c.energy.has_value() + c.rank.has_value() + c.ratio.has_value() + c.macs_ratio.has_value();
  if (c.sweep && given != 0)
    fail(ErrorKind::usage, "--sweep",
         "goes through ratios: it takes no --energy, --rank, --ratio or --macs-ratio");
  if (!c.sweep && given != 1)
    fail(ErrorKind::usage, "compress", "expected one of --energy, --rank, --ratio, --macs-ratio or --sweep");
  auto share = [](const char* flag, const std::optional<double>& v) {
    if (v && !(*v > 0 && *v <= 1))
      fail(ErrorKind::usage, flag, "expected more than 0 and at most 1, got {}", *v);
  };
  share("--energy", c.energy), share("--ratio", c.ratio), share("--macs-ratio", c.macs_ratio);
  if (c.rank && *c.rank < 1) fail(ErrorKind::usage, "--rank", "expected at least 1, got {}", *c.rank);
  if (c.bn_images < 0) fail(ErrorKind::usage, "--bn-images", "expected at least 0, got {}", c.bn_images);
  if (!c.sweep && o.out.empty())
    fail(ErrorKind::usage, "--out", "expected the path of the checkpoint to write");
  std::error_code ignored;
  fs::path parent = fs::path(o.out).parent_path();
  if (!c.sweep && !parent.empty() && !fs::is_directory(parent, ignored))
    fail(ErrorKind::io, o.out, "the folder {} does not exist", parent.string());
  if (c.sweep || !fs::exists(o.out, ignored)) return;
  if (fs::is_directory(o.out, ignored))
    fail(ErrorKind::usage, "--out", "{} is a folder, expected the path of a .safetensors file", o.out);
  if (fs::equivalent(o.out, o.checkpoint, ignored))
    fail(ErrorKind::usage, "--out", "{} is the checkpoint itself; give another name", o.out);
  if (!o.overwrite) fail(ErrorKind::usage, "--out", "{} exists; use --overwrite or another name", o.out);
}

void print_layers(const std::vector<Candidate>& all, const std::vector<Choice>& choices) {
  std::puts(fmt::format("{:<22} {:<18} {:<8} {:>11} {:>7} {:>21} {:>25}", "layer", "weight", "scheme", "rank",
                        "energy", "parameters", "multiply-accumulates")
                .c_str());
  for (size_t i = 0; i < all.size(); ++i) {
    const Candidate& c = all[i];
    const Choice& ch = choices[i];
    bool whole = ch.option < 0;
    const FactorOption& o = c.options[whole ? 0 : static_cast<size_t>(ch.option)];
    std::puts(fmt::format("{:<22} {:<18} {:<8} {:>11} {:>7} {:>21} {:>25}", c.path, c.weight.str(),
                          whole ? "whole" : name_of(o.scheme),
                          whole ? "-" : fmt::format("{} of {}", ch.rank, o.max_rank()),
                          fmt::format("{:.4f}", energy_of(c, ch)),
                          fmt::format("{} -> {}", c.parameters, parameters_of(c, ch)),
                          fmt::format("{} -> {}", c.macs, macs_of(c, ch)))
                  .c_str());
  }
}

Json layers_json(const std::vector<Candidate>& all, const std::vector<Choice>& choices) {
  Json layers = Json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    const Choice& ch = choices[i];
    bool whole = ch.option < 0;
    Json l{{"layer", all[i].path}, {"shape", Json::array()}};
    for (int64_t size : all[i].weight) l["shape"].push_back(size);
    const FactorOption* o = whole ? nullptr : &all[i].options[static_cast<size_t>(ch.option)];
    l["scheme"] = o ? Json(name_of(o->scheme)) : Json();
    l["rank"] = o ? Json(ch.rank) : Json();
    l["full_rank"] = (o ? *o : all[i].options[0]).max_rank();
    l["energy"] = energy_of(all[i], ch);
    l["parameters_before"] = all[i].parameters, l["parameters_after"] = parameters_of(all[i], ch);
    l["macs_before"] = all[i].macs, l["macs_after"] = macs_of(all[i], ch);
    layers.push_back(l);
  }
  return layers;
}

// Accuracy against what is kept, for twelve shares of the parameters; with batch norm also without measuring
// its statistics anew.
int sweep(const Options& o, const CompressOptions& c, const Checkpoint& checkpoint, SavedModel& original,
          const std::vector<Candidate>& all, const Dataset& data) {
  std::filesystem::path path = RunFolder::locate(o, "compress");
  keep_inputs(path, o, {o.checkpoint});
  RunFolder folder(path, o, 1 << 20);
  folder.write_json("config.json", {{"checkpoint", o.checkpoint},
                                    {"sweep", true},
                                    {"scheme", c.scheme},
                                    {"bn-images", c.bn_images},
                                    {"data", data.name},
                                    {"limit-train", o.limit_train},
                                    {"limit-test", o.limit_test}});
  folder.write_json("env.json", environment());
  const bool norm = has_batch_norm(*original.model) && c.bn_images > 0;
  EvalResult before = evaluate_or_stop(*original.model, data, original.normalization);
  Totals whole = totals_of(all, std::vector<Choice>(all.size()));
  ProgressLine line(o.quiet);
  Series by_parameters{
      norm ? "batch-norm statistics measured anew" : "compressed", {}, {}, {}, {}, palette(0)};
  Series stale{"statistics as they were", {}, {}, {}, {}, palette(1), true};
  Series by_macs = by_parameters, stale_macs = stale;
  std::string csv = "ratio,parameters,macs,test_accuracy,test_accuracy_old_statistics\n";
  Json points = Json::array();
  for (double ratio : {1.0, .9, .8, .7, .6, .5, .4, .3, .2, .15, .1, .05}) {
    std::vector<Choice> choices;
    try {
      choices = choose_by_share(all, ratio, Cost::parameters);
    } catch (const Error&) { break; }  // rank 1 everywhere is more than that
    line.show(fmt::format("compress: parameters {:.0f}%", 100 * ratio));
    SavedModel m = model_from(checkpoint, o.checkpoint);
    factor_model(*m.model, all, choices);
    double old = evaluate_or_stop(*m.model, data, m.normalization).accuracy, now = old;
    if (norm) {
      measure_statistics(*m.model, data, m.normalization, c.bn_images);
      now = evaluate_or_stop(*m.model, data, m.normalization).accuracy;
    }
    Totals t = totals_of(all, choices);
    double p = 100.0 * static_cast<double>(t.parameters) / static_cast<double>(whole.parameters),
           q = 100.0 * static_cast<double>(t.macs) / static_cast<double>(whole.macs);
    by_parameters.x.push_back(p), by_parameters.y.push_back(100 * now);
    stale.x.push_back(p), stale.y.push_back(100 * old);
    by_macs.x.push_back(q), by_macs.y.push_back(100 * now);
    stale_macs.x.push_back(q), stale_macs.y.push_back(100 * old);
    csv += fmt::format("{},{},{},{:.5f},{:.5f}\n", ratio, t.parameters, t.macs, now, old);
    points.push_back({{"ratio", ratio},
                      {"parameters", t.parameters},
                      {"macs", t.macs},
                      {"test_accuracy", now},
                      {"test_accuracy_old_statistics", old}});
    line.finish(
        fmt::format("ratio {:.2f}: {} parameters ({:.1f}%), {} multiply-accumulates ({:.1f}%), accuracy "
                    "{:.2f}%",
                    ratio, t.parameters, p, t.macs, q, 100 * now));
  }
  std::string title = fmt::format("{} on {}, {:.2f}% whole", original.name, data.name, 100 * before.accuracy);
  Chart a{title, "parameters kept (%)", "test accuracy (%)"},
      b{title, "multiply-accumulates kept (%)", "test accuracy (%)"};
  a.series = {by_parameters}, b.series = {by_macs};
  if (norm) a.series.push_back(stale), b.series.push_back(stale_macs);
  folder.write("sweep.csv", csv);
  folder.write("sweep.svg", to_svg({a, b}, 2));
  folder.write("sweep.png", to_png({a, b}, 2));
  Json j{{"accuracy_before", before.accuracy},
         {"parameters_before", whole.parameters},
         {"macs_before", whole.macs},
         {"points", points}};
  folder.write_json("summary.json", j);
  if (!o.quiet) std::puts(fmt::format("picture: {}", folder / "sweep.png").c_str());
  if (o.json) std::puts(j.dump().c_str());
  return 0;
}

}  // namespace

int run_compress(const Options& o, const CompressOptions& c) {
  check(o);
  check_compress(o, c);
  std::optional<FactorScheme> scheme;
  if (c.scheme != "auto") {
    if (c.scheme != "channel" && c.scheme != "spatial" && c.scheme != "linear")
      fail(ErrorKind::usage, "--scheme", "expected auto, linear, channel or spatial, got \"{}\"", c.scheme);
    scheme = parse_factor_scheme(c.scheme);
  }
  apply_threads(o);
  Checkpoint checkpoint = load_checkpoint(o.checkpoint);
  SavedModel m = model_from(checkpoint, o.checkpoint);
  SavedModel original = model_from(checkpoint, o.checkpoint);
  Dataset data = dataset_for(m, o, o.limit_train);
  std::vector<Candidate> all = candidates_of(*m.model, m.input, scheme);
  if (all.empty())
    fail(ErrorKind::checkpoint, o.checkpoint, "{} has no layer that {} can factor", m.name,
         scheme ? fmt::format("the {} scheme", c.scheme) : "a scheme");
  if (c.sweep) return sweep(o, c, checkpoint, m, all, data);

  std::vector<Choice> choices = choose(all, c);
  EvalResult before = evaluate_or_stop(*m.model, data, m.normalization);
  const std::vector<Factor> made = factor_model(*m.model, all, choices);
  m.factors.insert(m.factors.end(), made.begin(), made.end());
  if (!made.empty()) measure_statistics(*m.model, data, m.normalization, c.bn_images);
  EvalResult after = evaluate_or_stop(*m.model, data, m.normalization);
  auto [slow, fast] = measure_speed(original, m, data.test, c.seconds);

  Checkpoint out{m, {}, {}};
  for (auto& [name, t] : m.model->state_dict().items) out.weights.emplace(name, t);
  save_checkpoint(o.out, out);

  Totals was = totals_of(all, std::vector<Choice>(all.size())), is = totals_of(all, choices);
  if (!o.quiet) {
    print_layers(all, choices);
    auto percent = [](int64_t part, int64_t of) {
      return 100.0 * static_cast<double>(part) / static_cast<double>(of);
    };
    std::puts(
        fmt::format("of these layers: parameters {} -> {} ({:.1f}%), multiply-accumulates {} -> {} ({:.1f}%)",
                    was.parameters, is.parameters, percent(is.parameters, was.parameters), was.macs, is.macs,
                    percent(is.macs, was.macs))
            .c_str());
    std::puts(fmt::format("accuracy {:.2f}% -> {:.2f}%, loss {:.4f} -> {:.4f}, on {} test images of {}",
                          100 * before.accuracy, 100 * after.accuracy, before.loss, after.loss, after.count,
                          data.name)
                  .c_str());
    std::puts(fmt::format("speed {:.0f} -> {:.0f} images/s ({:.2f} times), in turn, batch norm folded", slow,
                          fast, fast / slow)
                  .c_str());
    if (made.empty()) std::puts("no layer gets smaller by this: the network is as it was");
    std::puts(fmt::format("checkpoint: {}", o.out).c_str());
  }
  if (o.json) {
    Json j{{"accuracy_before", before.accuracy},
           {"accuracy_after", after.accuracy},
           {"loss_before", before.loss},
           {"loss_after", after.loss},
           {"parameters_before", was.parameters},
           {"parameters_after", is.parameters},
           {"macs_before", was.macs},
           {"macs_after", is.macs},
           {"images_per_s_before", slow},
           {"images_per_s_after", fast},
           {"layers", layers_json(all, choices)},
           {"checkpoint", o.out}};
    std::puts(j.dump().c_str());
  }
  return 0;
}

}  // namespace sigma::app
