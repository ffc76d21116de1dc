// `sigma compress`: layers in two factors by singular value decomposition, what it costs and what it gains.
#include "apps/verbs/compress.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/run/output.h"
#include "apps/run/signals.h"
#include "apps/verbs/saved_model.h"
#include "layers/passes/fold.h"
#include "layers/passes/update_bn.h"

namespace sigma::app {
namespace fs = std::filesystem;

bool has_batch_norm(Module& model) {
  bool found = false;
  model.visit([&](const std::string&, Module& m) { found |= m.channel_norm() != nullptr; });
  return found;
}

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

Totals totals_of(const std::vector<Candidate>& all, const std::vector<Choice>& choices) {
  Totals t;
  for (size_t i = 0; i < all.size(); ++i) {
    t.parameters += parameters_of(all[i], choices[i]);
    t.macs += macs_of(all[i], choices[i]);
  }
  return t;
}

double percent(int64_t part, int64_t of) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(of);
}

namespace {

constexpr double kSpeedSeconds = 1;  // for measuring it

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
    s.model = m->network();
    s.input = m->input;
    s.batch_norm = m->batch_norm;
    s.norm = m->norm;
    s.factors = m->factors;
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

std::vector<Choice> choose(const std::vector<Candidate>& all, const CompressWanted& c) {
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

void check_compress(const Options& o, const CompressWanted& c) {
  int given = c.energy.has_value() + c.rank.has_value() + c.ratio.has_value() + c.macs_ratio.has_value();
  if (c.sweep && given != 0)
    fail(ErrorKind::usage, "--sweep",
         "goes through ratios: it takes no --energy, --rank, --ratio or --macs-ratio");
  if (!c.sweep && given != 1)
    fail(ErrorKind::usage, "compress", "expected one of --energy, --rank, --ratio, --macs-ratio or --sweep");
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
  print(fmt::format("{:<22} {:<18} {:<8} {:>11} {:>7} {:>21} {:>25}", "layer", "weight", "scheme", "rank",
                    "energy", "parameters", "multiply-accumulates"));
  for (size_t i = 0; i < all.size(); ++i) {
    const Candidate& c = all[i];
    const Choice& ch = choices[i];
    bool whole = ch.option < 0;
    const FactorOption& o = c.options[whole ? 0 : static_cast<size_t>(ch.option)];
    print(fmt::format(
        "{:<22} {:<18} {:<8} {:>11} {:>7} {:>21} {:>25}", c.path, c.weight.str(),
        whole ? "whole" : name_of(o.scheme), whole ? "-" : fmt::format("{} of {}", ch.rank, o.max_rank()),
        fmt::format("{:.4f}", energy_of(c, ch)), fmt::format("{} -> {}", c.parameters, parameters_of(c, ch)),
        fmt::format("{} -> {}", c.macs, macs_of(c, ch))));
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

// What compressing did to the whole network.
struct Effect {
  EvalResult before, after;
  Totals was, is;
  double slow = 0, fast = 0;  // images a second
};

void print_effect(const Effect& e, const Dataset& data) {
  print(fmt::format("of these layers: parameters {} -> {} ({:.1f}%), multiply-accumulates {} -> {} ({:.1f}%)",
                    e.was.parameters, e.is.parameters, percent(e.is.parameters, e.was.parameters), e.was.macs,
                    e.is.macs, percent(e.is.macs, e.was.macs)));
  print(fmt::format("accuracy {:.2f}% -> {:.2f}%, loss {:.4f} -> {:.4f}, on {} {} images of {}",
                    100 * e.before.accuracy, 100 * e.after.accuracy, e.before.loss, e.after.loss,
                    e.after.count, data.test.size() > 0 ? "test" : "validation", data.name));
  print(fmt::format("speed {:.0f} -> {:.0f} images/s ({:.2f} times), in turn, batch norm folded", e.slow,
                    e.fast, e.fast / e.slow));
}

Json effect_json(const Effect& e) {
  return {{"accuracy_before", e.before.accuracy},
          {"accuracy_after", e.after.accuracy},
          {"loss_before", e.before.loss},
          {"loss_after", e.after.loss},
          {"parameters_before", e.was.parameters},
          {"parameters_after", e.is.parameters},
          {"macs_before", e.was.macs},
          {"macs_after", e.is.macs},
          {"images_per_s_before", e.slow},
          {"images_per_s_after", e.fast}};
}

void save(const SavedModel& m, const std::string& path) {
  save_checkpoint(path, {m, m.model->state_dict().by_name(), {}});
}

class Compress : public Verb {
 public:
  Compress()
      : Verb("compress", "factor layers by singular value decomposition: smaller, faster", kData | kThreads) {
    const FlagCheck share = between_open(0, 1, "more than 0 and at most 1");
    use("--checkpoint", "", kRequired);
    example("compress --checkpoint runs/train/weights/best.safetensors --ratio 0.5",
            "half the parameters of the layers that can be factored");
    flag("--energy", wanted_.energy, "share of the squared singular values to keep in each layer", kPlain,
         {share});
    flag("--rank", wanted_.rank, "rank of every layer", kPlain, {at_least(1)});
    flag("--ratio", wanted_.ratio, "share of the parameters of all factorable layers to keep at most", kPlain,
         {share});
    flag("--macs-ratio", wanted_.macs_ratio, "share of their multiply-accumulates to keep at most", kPlain,
         {share});
    flag("--scheme", wanted_.scheme,
         "of convolutions: auto|channel|spatial (auto: the better by layer); linear: none of them",
         kIdentity);
    flag("--bn-images", wanted_.bn_images,
         "training images to measure batch-norm statistics on anew (0: leave them)", kIdentity,
         {at_least(0)});
    flag("--sweep", wanted_.sweep, "accuracy at ratios from 1 to 0.05, as a picture", kIdentity);
    use("--out", "the checkpoint to write; with --sweep the run folder");
    use("--overwrite", "replace what is in --out");
  }
  void set_defaults(Options& o) const override { o.data.clear(); }

  int run(const Options& o) override {
    check_compress(o, wanted_);
    const std::optional<FactorScheme> scheme = factor_scheme();
    apply_threads(o);
    Checkpoint checkpoint = load_checkpoint(o.checkpoint);
    SavedModel m = model_from(checkpoint, o.checkpoint);
    Dataset data = dataset_for(m, o, o.limit_train);
    std::vector<Candidate> all = candidates_of(*m.model, m.input, scheme);
    if (all.empty())
      fail(ErrorKind::checkpoint, o.checkpoint, "{} has no layer that {} can factor", m.name,
           scheme ? fmt::format("the {} scheme", wanted_.scheme) : "a scheme");
    CompressInput in{std::move(checkpoint), std::move(m), std::move(data), std::move(all)};
    install_signal_handlers();
    if (!wanted_.sweep) return compress(o, in);
    Options named = o;
    named.data = in.data.name;
    return sweep_compression(o, wanted_, flags_json(named, own_flags()), in);
  }

 private:
  std::optional<FactorScheme> factor_scheme() const {
    const std::string& s = wanted_.scheme;
    if (s == "auto") return {};
    if (s != "channel" && s != "spatial" && s != "linear")
      fail(ErrorKind::usage, "--scheme", "expected auto, linear, channel or spatial, got \"{}\"", s);
    return parse_factor_scheme(s);
  }

  int compress(const Options& o, CompressInput& in) const {
    SavedModel& m = in.model;
    const SavedModel original = model_from(in.checkpoint, o.checkpoint);
    auto measure = [&] { return evaluate_or_stop(*m.model, in.data, m.normalization); };
    const std::vector<Choice> choices = choose(in.candidates, wanted_);
    Effect e;
    e.before = measure();
    const std::vector<Factor> made = factor_model(*m.model, in.candidates, choices);
    m.factors.insert(m.factors.end(), made.begin(), made.end());
    if (!made.empty()) measure_statistics(*m.model, in.data, m.normalization, wanted_.bn_images);
    e.after = measure();
    std::tie(e.slow, e.fast) = measure_speed(original, m, in.data.measured(), kSpeedSeconds);
    e.was = totals_of(in.candidates, std::vector<Choice>(in.candidates.size()));
    e.is = totals_of(in.candidates, choices);
    save(m, o.out);
    if (!o.quiet) {
      print_layers(in.candidates, choices);
      print_effect(e, in.data);
      if (made.empty()) print("no layer gets smaller by this: the network is as it was");
      print(fmt::format("checkpoint: {}", o.out));
    }
    if (o.json) {
      Json j = effect_json(e);
      j["layers"] = layers_json(in.candidates, choices);
      j["checkpoint"] = o.out;
      print_json(j);
    }
    return 0;
  }

  CompressWanted wanted_;
};

const RegisterVerb<Compress> register_compress(40);

}  // namespace
}  // namespace sigma::app
