// The command line: verbs, flags, exit codes.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>

#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/verbs/verbs.h"
#include "core/text.h"

namespace sigma::app {
namespace {

// Everything one invocation may carry; made afresh for each parse.
struct Invocation {
  Options options;
  std::vector<std::string> images;
  std::string data_action, data_name, mirror, bench_what;
  double seconds = 4, timeout = 15;
  bool no_whiten = false;
  CompressOptions compress;
  SpectrumFlags spectrum;
};

struct Parser {
  CLI::App app{
      "sigma: a small deep-learning framework. Trains demo CNNs and shows what batch normalization does.",
      "sigma"};
  Invocation call;
  CLI::App* verb = nullptr;

  Parser() {
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("sigma ") + SIGMA_VERSION);
    Options& o = call.options;
    auto add = [&](const char* name, const char* about, unsigned groups) {
      CLI::App* v = app.add_subcommand(name, about);
      add_flags(*v, o, groups);
      return v;
    };
    constexpr unsigned kTrainLike = kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads;

    CLI::App* train = add("train", "train one network", kTrainLike | kSave);
    train
        ->add_option("--checkpoint", o.checkpoint,
                     "start from this network: its layers, weights and normalization")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    add("compare", "batch norm on and off x input normalization, over seeds, with a report",
        kTrainLike | kLists);
    CLI::App* eval = add("eval", "accuracy, loss and confusion matrix of a checkpoint", kData | kThreads);
    eval->add_option("--checkpoint", o.checkpoint, "a .safetensors checkpoint")->required();
    eval->add_option("--out", o.out, "folder for confusion.png");
    eval->add_flag("--quiet", o.quiet, "no text");
    CLI::App* compress =
        add("compress", "factor layers by singular value decomposition: smaller, faster", kData | kThreads);
    CompressOptions& c = call.compress;
    compress->add_option("--checkpoint", o.checkpoint, "a .safetensors checkpoint")->required();
    compress->add_option("--energy", c.energy, "share of the squared singular values to keep in each layer");
    compress->add_option("--rank", c.rank, "rank of every layer");
    compress->add_option("--ratio", c.ratio,
                         "share of the parameters of all factorable layers to keep at most");
    compress->add_option("--macs-ratio", c.macs_ratio, "share of their multiply-accumulates to keep at most");
    compress->add_option(
        "--scheme", c.scheme,
        "of convolutions: auto|channel|spatial (auto: the better by layer); linear: none of them");
    compress->add_option("--bn-images", c.bn_images,
                         "training images to measure batch-norm statistics on anew (0: leave them)");
    compress->add_flag("--sweep", c.sweep, "accuracy at ratios from 1 to 0.05, as a picture");
    compress->add_option("--out", o.out, "the checkpoint to write; with --sweep the run folder");
    compress->add_flag("--overwrite", o.overwrite, "replace what is in --out");
    compress->add_flag("--quiet", o.quiet, "no text");
    CLI::App* predict = add("predict", "top classes of image files", 0);
    predict->add_option("--checkpoint", o.checkpoint, "a .safetensors checkpoint")->required();
    predict->add_option("images", call.images, "PNG or JPEG files")->required();
    predict->add_flag("--quiet", o.quiet, "no text");
    CLI::App* summary = add("summary", "layers, shapes, parameters, multiply-accumulates", kModel);
    summary->add_option("--data", o.data, "take the input size of this data set");
    summary->add_option("--data-dir", o.data_dir, "folder of the data sets");
    summary->add_flag("--quiet", o.quiet, "no text");
    CLI::App* gradcheck = add("gradcheck", "gradient check of every layer in float64", 0);
    gradcheck->add_option("--layer", o.layer, "one layer only");
    gradcheck->add_flag("--quiet", o.quiet, "no table");
    CLI::App* data = app.add_subcommand("data", "data sets: list, fetch, verify, preview");
    data->require_subcommand(1);
    for (const char* action : {"list", "fetch", "verify", "preview"}) {
      CLI::App* a = data->add_subcommand(action);
      a->add_option("--data-dir", o.data_dir, "folder of the data sets");
      a->add_flag("--quiet", o.quiet, "no progress");
      if (std::string(action) == "list" || std::string(action) == "verify")
        a->add_flag("--json", o.json, "print JSON");
      if (std::string(action) != "list") {
        a->add_option("name", call.data_name, "the data set");
        a->add_option("--data", o.data, "the data set, as elsewhere");
      }
      if (std::string(action) == "fetch") {
        a->add_option("--mirror", call.mirror, "take the files from this address instead");
        a->add_option("--timeout", call.timeout, "seconds to wait for a connection")
            ->check(CLI::Range(0.1, 3600.0));
      }
      if (std::string(action) == "preview") {
        a->add_option("--out", o.out, "the PNG to write (default preview.png)");
        a->add_flag("--overwrite", o.overwrite, "replace it");
        a->add_flag("--no-whiten", call.no_whiten,
                    "leave the whitened images out: half a minute for cifar10");
      }
      a->callback([this, action] { call.data_action = action; });
    }
    CLI::App* bench = app.add_subcommand("bench", "speed: train, infer, kernels, svd");
    bench->require_subcommand(1);
    for (const char* what : {"train", "infer", "kernels", "svd"}) {
      const bool model = std::string(what) == "train" || std::string(what) == "infer";
      CLI::App* b = bench->add_subcommand(what);
      add_flags(*b, o, kThreads | (model ? static_cast<unsigned>(kModel) : 0u));
      if (std::string(what) != "svd") {
        b->add_option("--batch-size", o.batch_size, "images a step");
        b->add_option("--precision", o.precision, "f32|bf16: what is kept between the layers");
      }
      b->add_option("--seconds", call.seconds, "how long to measure");
      b->callback([this, what] { call.bench_what = what; });
    }
    CLI::App* spectrum =
        add("spectrum", "singular values of a checkpoint's layers, in tables and a picture", kThreads);
    spectrum
        ->add_option("--checkpoint", call.spectrum.checkpoints,
                     "a .safetensors checkpoint; several stand side by side")
        ->required();
    spectrum->add_flag("--activations", call.spectrum.activations,
                       "effective rank and condition of each layer's outputs on test images too");
    spectrum->add_option("--data", o.data, "the data set of --activations (default: the checkpoint's)");
    spectrum->add_option("--data-dir", o.data_dir, "folder of the data sets");
    spectrum->add_option("--limit-test", o.limit_test,
                         "use N test images, evenly spread (default: 512, or 8 a unit of the widest Linear)");
    spectrum->add_option("--out", o.out, "run folder (default: runs/spectrum[-N])");
    spectrum->add_flag("--overwrite", o.overwrite, "replace a run that is in --out");
    spectrum->add_flag("--csv", call.spectrum.csv, "print spectrum.csv instead of the table");
    spectrum->add_flag("--quiet", o.quiet, "no table");
    CLI::App* env = add("env", "version, CPU, SIMD target, BLAS, threads", kThreads);
    env->add_flag("--quiet", o.quiet, "no text");
  }

  // What differs from the general defaults, by verb. Called before parsing.
  void defaults_for(const std::string& name) {
    Options& o = call.options;
    if (name == "compare") {
      o.model = "lenet5", o.batch_norm = "on,off", o.normalize = "none,unit,standard", o.batch_size = 64;
      o.lr = "0.1", o.hyper["momentum"] = 0, o.weight_decay = 0, o.schedule = "constant";
    }
    for (const char* fresh : {"eval", "compress", "spectrum", "summary", "data"})
      if (name == fresh) o.data.clear();
  }

  std::vector<std::string> known_flags() {
    std::vector<std::string> names;
    for (const CLI::App* v = &app; !v->get_subcommands().empty();) {
      v = v->get_subcommands()[0];
      names.clear();
      for (const CLI::Option* option : v->get_options())
        if (!option->get_lnames().empty()) names.push_back(option->get_lnames()[0]);
    }
    return names;
  }
};

// What came instead of a verb, and what could have.
[[noreturn]] void refuse_verb(Parser& parser) {
  CLI::App* at = &parser.app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands()[0];
  std::vector<std::string> verbs, extras = parser.app.remaining(true);
  for (const CLI::App* v : at->get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(v->get_name());
  if (extras.empty())
    fail(ErrorKind::usage, at->get_name(), "expected one of {}; --help explains", join(verbs, ", "));
  if (extras[0][0] == '-') fail(ErrorKind::usage, at->get_name(), "unknown flag {}", extras[0]);
  std::string near = nearest(extras[0], verbs);
  fail(ErrorKind::usage, at->get_name(), "unknown verb \"{}\", expected one of {}{}", extras[0],
       join(verbs, ", "), near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

// "Could not convert: --epochs = abc" names no type, and a missing value is "1 required INT missing".
[[noreturn]] void refuse_value(Parser& parser, const std::string& complaint) {
  std::string name, value;
  if (size_t at = complaint.find(" = ");
      complaint.rfind("Could not convert: ", 0) == 0 && at < complaint.size())
    name = complaint.substr(19, at - 19), value = complaint.substr(at + 3);
  else
    name = complaint.substr(0, complaint.find(':'));
  const CLI::App* at = &parser.app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands()[0];
  const CLI::Option* option = at->get_option_no_throw(name);
  if (option && !value.empty()) value = option->results().back();  // the last of several counts
  std::string type = option ? option->get_type_name() : "";
  const char* wanted = type == "INT" || type == "UINT"                   ? "a whole number"
                       : type == "FLOAT"                                 ? "a number"
                       : option && option->get_items_expected_max() == 0 ? "true or false"
                                                                         : "a value";
  if (value.empty()) fail(ErrorKind::usage, name, "expected {}, got none", wanted);
  fail(ErrorKind::usage, name, "expected {}, got \"{}\"", wanted, value);
}

// Parses and rewrites CLI11's complaints into one sentence.
void parse(Parser& parser, std::vector<std::string> arguments) {
  if (!arguments.empty()) parser.defaults_for(arguments[0]);
  if (!arguments.empty() && arguments[0][0] != '-') {
    std::vector<std::string> verbs;
    for (const CLI::App* v : parser.app.get_subcommands({})) verbs.push_back(v->get_name());
    std::string near = nearest(arguments[0], verbs);
    if (std::find(verbs.begin(), verbs.end(), arguments[0]) == verbs.end())
      fail(ErrorKind::usage, "sigma", "unknown verb \"{}\", expected one of {}{}", arguments[0],
           join(verbs, ", "), near.empty() ? "" : fmt::format("; did you mean {}?", near));
  }
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    parser.app.parse(reversed);
  } catch (const CLI::ExtrasError&) {
    std::vector<std::string> known = parser.known_flags();
    for (const std::string& extra : parser.app.remaining(true)) {
      std::string word = extra.substr(0, extra.find('='));
      std::string name = word.substr(std::min(word.size(), word.find_first_not_of('-')));
      std::string near = nearest(name, known);
      if (word[0] != '-') fail(ErrorKind::usage, arguments[0], "unexpected argument \"{}\"", extra);
      fail(ErrorKind::usage, arguments[0], "unknown flag {}{}", word,
           near.empty() ? "" : fmt::format("; did you mean --{}?", near));
    }
    throw;
  } catch (const CLI::ConversionError& e) {
    refuse_value(parser, e.what());
  } catch (const CLI::ArgumentMismatch& e) {
    refuse_value(parser, e.what());
  } catch (const CLI::RequiredError& e) {
    if (std::string(e.what()).find("subcommand") != std::string::npos) refuse_verb(parser);
    throw;
  }
  for (const CLI::App* v = &parser.app; !v->get_subcommands().empty();) {
    v = v->get_subcommands()[0];
    for (const CLI::Option* option : v->get_options())
      if (option->count() > 0) parser.call.options.given.push_back(option->get_name());
  }
  complete_optimizer(parser.call.options);
}

int dispatch(const Parser& p) {
  const Invocation& c = p.call;
  std::string verb = p.app.get_subcommands()[0]->get_name();
  if (verb == "train" || verb == "compare" || verb == "eval" || verb == "compress") install_signal_handlers();
  if (verb == "train") return run_train(c.options);
  if (verb == "compare") return run_compare(c.options);
  if (verb == "eval") return run_eval(c.options);
  if (verb == "compress") return run_compress(c.options, c.compress);
  if (verb == "predict") return run_predict(c.options, c.images);
  if (verb == "summary") return run_summary(c.options);
  if (verb == "gradcheck") return run_gradcheck(c.options);
  if (verb == "data")
    return run_data(c.options, c.data_action, c.data_name, c.mirror, c.timeout, !c.no_whiten);
  if (verb == "bench") return run_bench(c.options, c.bench_what, c.seconds);
  if (verb == "spectrum") return run_spectrum(c.options, c.spectrum);
  return run_env(c.options);
}

int run(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  auto first = std::make_unique<Parser>();
  try {
    parse(*first, arguments);
    const Options& o = first->call.options;
    std::string config = o.config, verb = arguments[0];
    if (o.resume && o.overwrite) fail(ErrorKind::usage, "--resume", "cannot be combined with --overwrite");
    if (o.resume && !config.empty())
      fail(ErrorKind::usage, "--resume", "cannot be combined with --config: the run's own flags hold");
    if (o.resume)
      config =
          (RunFolder::locate(o, verb) / "config.json").string();  // the run's own flags; those given override
    if (config.empty()) return dispatch(*first);
    std::vector<std::string> merged = config_arguments(config, first->known_flags());
    merged.insert(merged.begin(), verb);
    merged.insert(merged.end(), arguments.begin() + 1, arguments.end());
    auto second = std::make_unique<Parser>();
    parse(*second, merged);
    return dispatch(*second);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return first->app.exit(e);  // --help, --version
    std::fputs(fmt::format("error: {}\n", e.what()).c_str(), stderr);
    return static_cast<int>(ErrorKind::usage);
  }
}

}  // namespace
}  // namespace sigma::app

int main(int argc, char** argv) {
  sigma::app::ignore_pipe_signals();
  try {
    return sigma::app::run(argc, argv);
  } catch (const sigma::Error& e) {
    std::fputs(fmt::format("error: {}\n", e.what()).c_str(), stderr);
    return static_cast<int>(e.kind());
  } catch (const sigma::app::Stopped& s) { return 128 + s.signal; } catch (const std::bad_alloc&) {
    std::fputs("error: out of memory\n", stderr);
    return static_cast<int>(sigma::ErrorKind::memory);
  } catch (const std::exception& e) {
    std::fputs(fmt::format("error: internal: {}\n", e.what()).c_str(), stderr);
    return static_cast<int>(sigma::ErrorKind::internal);
  }
}
