// `sigma inspect`: what batch normalization does, shown on one network.
#include "apps/verbs/inspect.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/flags/verb.h"
#include "apps/run/environment.h"
#include "apps/run/output.h"
#include "apps/run/progress.h"
#include "apps/run/run_folder.h"
#include "apps/run/signals.h"
#include "apps/verbs/train_setup.h"
#include "core/parallel.h"

namespace sigma::app {
namespace {

namespace fs = std::filesystem;

class Inspect : public Verb {
 public:
  Inspect()
      : Verb("inspect",
             "what batch norm does: state, running statistics, train against eval mode, distributions",
             kData | kModel | kNormalize | kTraining | kRun | kThreads) {
    use("--checkpoint", "start from this network: its layers, weights, statistics and normalization");
    use("--freeze");
    flag("--layer", wanted_.layer, "path of the batch norm to watch, as bn1 (default: the last)", kIdentity);
    flag("--channels", wanted_.channels,
         "channels of it to draw, comma-separated (default: first, middle, last)", kIdentity,
         {at_least(0), at_most(1e9), whole_number()});
    flag(
        "--steps", wanted_.steps,
        "of training, from the start of the run that the other flags say; beyond its end its last rate stays",
        kIdentity, {at_least(1), at_most(100000)});
    example("inspect", "a fresh network on the built-in digits: the page is runs/inspect/report.html");
    example("inspect --checkpoint runs/train/weights/last.safetensors --layer bn1",
            "a trained network, its first layer");
    example("inspect --data cifar10 --model resnet20 --steps 50 --batch-size 32",
            "another one, with small batches");
  }

  int run(const Options& given) override {
    install_signal_handlers();
    Start from = start_of(given);
    const Options& o = from.options;
    apply_threads(o);
    const fs::path path = RunFolder::locate(o, "inspect");
    if (from.network) keep_inputs(path, o, {o.checkpoint});
    const Dataset data = training_data(from);
    const TrainSetup setup = setup_of(o, from, data);
    if (!o.quiet)
      note(fmt::format("{} on {}: {} training images, {} steps of {} images, {} threads",
                       model_label(o.model), o.data, data.train.size(), wanted_.steps,
                       setup.loader.batch_size, num_threads()));
    if (o.dry_run) {
      print_json(flags_json(o, own_flags()), o.json ? -1 : 2);
      return 0;
    }
    ProgressLine line(o.quiet);
    wanted_.progress = [&](const std::string& what, int64_t done, int64_t all) {
      if (stop_signal()) throw Stopped{stop_signal()};
      line.show(fmt::format("{}: {} of {}", what, done, all));
    };
    const Inspection found = inspect(data, setup, wanted_);
    line.finish("measured");
    write(o, path, found);
    return 0;
  }

 private:
  std::string command(const Options& o) const {
    std::string text = command_line(o);
    for (const Flag& f : own_flags())
      if (is_given(o, f.name)) text += fmt::format(" {} {}", f.name, f.text());
    return text;
  }

  void write(const Options& o, const fs::path& path, const Inspection& found) const {
    const Json config = flags_json(o, own_flags()), env = environment(), summary = inspection_json(found);
    const std::vector<InspectionFile> files =
        inspection_files(found, fmt::format("Batch norm in {} on {}", model_label(o.model), o.data),
                         command(o), config.dump(2), env.dump(2));
    uint64_t bytes = 1 << 20;
    for (const InspectionFile& f : files) bytes += f.content.size();
    RunFolder folder(path, o, bytes);
    folder.write_json("config.json", config);
    folder.write_json("env.json", env);
    for (const InspectionFile& f : files) folder.write(f.name, f.content);
    folder.write_json("summary.json", summary);
    if (!o.quiet)
      print(fmt::format("{}\n\npage: {}", inspection_table(found),
                        fs::absolute(folder.path() / "report.html").string()));
    if (o.json) print_json(summary);
  }

  InspectOptions wanted_;
};

const RegisterVerb<Inspect> register_inspect(105);

}  // namespace
}  // namespace sigma::app
