// `sigma compare`: trains every arm from the same initial weights on the same samples in the same order.
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/verbs/compare_run.h"

namespace sigma::app {
namespace {

class Compare : public Verb {
 public:
  Compare()
      : Verb("compare", "trainings side by side, over seeds, with a report: batch norm, or anything else",
             kData | kModel | kNormalize | kTraining | kRun | kResume | kThreads | kLists) {
    use("--freeze");
    example("compare",
            "batch norm on and off, on raw and scaled pixels of the built-in digits, about a minute");
    example("compare --data mnist --model mlp --lr 0.01,0.1 --seeds 5", "several rates, five seeds each");
    example("compare --optimizer sgd,adamw --batch-norm on --normalize standard",
            "two optimizers, each with its own defaults, or with the --lr and so on that are given");
    example("compare --batch-size 4,16,64 --epochs 2 --normalize unit",
            "batches of three sizes that all see the same number of images");
    example("compare --model a.net,b.net,lenet5 --normalize standard",
            "networks of your own beside a demo network; texts are separated by semicolons");
  }

  void set_defaults(Options& o) const override {
    o.model = "lenet5";
    o.several["--batch-norm"] = {"on", "off"};
    o.several["--normalize"] = {"none", "unit", "standard"};
    o.normalize = "none";
    o.batch_size = 64;
    o.lr = "0.1";
    o.hyper["momentum"] = 0;
    o.weight_decay = 0;
    o.schedule = "constant";
  }

  int run(const Options& o) override {
    const CompareOutcome done = run_comparison(o);
    if (done.signal) return 128 + done.signal;
    if (!done.comparison) return 0;  // a dry run
    if (!o.quiet) {
      print(table_text(*done.comparison));
      print("report: " + std::filesystem::absolute(done.folder / "report.html").string());
    }
    if (o.json) print_json(summary_json(*done.comparison));
    return 0;
  }
};

const RegisterVerb<Compare> register_compare(20);

}  // namespace
}  // namespace sigma::app
