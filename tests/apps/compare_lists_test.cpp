// The arms of a comparison: what lists of flags come to, how the arms are called, and what is refused.
#include <algorithm>

#include "apps/flags/flag_lists.h"
#include "apps/flags/options.h"
#include "core/text.h"
#include "tests/support/runs.h"

using namespace sigma;
using namespace sigma::test;
namespace fs = std::filesystem;

namespace {

// What --dry-run says; the data are tiny, and there is one normalization.
Json planned(const Arguments& flags) {
  RunResult r = run_sigma(Arguments{"compare", "--limit-train", "64", "--limit-test", "10", "--threads", "1",
                                    "--normalize", "unit", "--dry-run", "--json", "--quiet"} +
                          flags);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  return last_line_json(r.out);
}
Arguments labels_of(const Json& plan) {
  Arguments labels;
  for (const Json& arm : plan.at("arms")) labels.push_back(arm.at("label"));
  return labels;
}
Arguments labels(const Arguments& flags) { return labels_of(planned(flags)); }
// With the network of batch norm alone.
Arguments labels_with(const Arguments& flags) { return labels(flags + Arguments{"--batch-norm", "on"}); }

}  // namespace

TEST_CASE("without flags the arms are batch norm on and off, on raw, scaled and standardized pixels",
          "[compare]") {
  CHECK(labels({"--normalize", "none,unit,standard"}) ==
        Arguments{"batch norm · raw pixels", "batch norm · pixels 0 to 1", "batch norm · standardized input",
                  "no batch norm · raw pixels", "no batch norm · pixels 0 to 1",
                  "no batch norm · standardized input"});
  RunResult r = run_sigma({"compare", "--limit-train", "64", "--limit-test", "10", "--dry-run", "--json"});
  const Json plan = last_line_json(r.out);
  CHECK(plan["batch-norm"] == "on,off");
  CHECK(plan["normalize"] == "none,unit,standard");
  CHECK(plan["lr"] == "0.1");
  CHECK(plan["batch-size"] == 64);
  CHECK(plan["momentum"] == 0.0);
  REQUIRE(plan["arms"].size() == 6);
  CHECK(plan["arms"][4]["settings"] == Json{{"batch-norm", "off"}, {"normalize", "unit"}});
}

TEST_CASE("any flag of training takes a list, and the arms are called by what differs", "[compare]") {
  CHECK(labels({}) == Arguments{"batch norm", "no batch norm"});
  CHECK(labels_with({}) == Arguments{"lenet5"});
  CHECK(labels_with({"--batch-size", "4,16,64"}) ==
        Arguments{"batches of 4", "batches of 16", "batches of 64"});
  CHECK(labels_with({"--init", "default,kaiming", "--lr", "0.1,1e-2"}) ==
        Arguments{"rate 0.1 · initial weights: default", "rate 0.1 · initial weights: kaiming",
                  "rate 1e-2 · initial weights: default", "rate 1e-2 · initial weights: kaiming"});
  CHECK(labels_with({"--normalize", "zca,pca", "--whiten-epsilon", "0.1"}) ==
        Arguments{"whitened (ZCA)", "whitened (PCA)"});
  CHECK(labels_with({"--weight-decay", "0,5e-4"}) == Arguments{"no weight decay", "weight decay 0.0005"});
  CHECK(labels_with({"--label-smoothing", "0,0.1"}) ==
        Arguments{"no label smoothing", "label smoothing 0.1"});
  CHECK(labels_with({"--augment", "none,flip+crop"}) == Arguments{"no augmentation", "flip+crop"});
  CHECK(labels_with({"--precision", "f32,bf16"}) == Arguments{"float32", "bfloat16"});
  CHECK(labels_with({"--ema", "0,0.99"}) == Arguments{"no averaging", "averaged weights (0.99)"});
  CHECK(labels_with({"--schedule", "constant,cosine"}) == Arguments{"constant rate", "cosine schedule"});
  CHECK(labels_with({"--sampler", "shuffle,balanced"}) ==
        Arguments{"each image once", "each class equally often"});
  CHECK(labels_with({"--nesterov=false,true", "--momentum", "0.9"}) == Arguments{"no nesterov", "nesterov"});
  CHECK(labels_with({"--crop-padding", "reflect, zero"}) ==
        Arguments{"crops reflect", "crops show zeros"});  // spaces around items
  CHECK(labels_with({"--clip-norm", "0,2", "--warmup", "0,5"}) ==
        Arguments{"no warm-up · no clipping", "no warm-up · gradients up to 2",
                  "warm-up of 5 steps · no clipping", "warm-up of 5 steps · gradients up to 2"});
  CHECK(labels_with({"--lr-scale", "fc*=0.1,conv1=2;fc*=0.5"}) ==
        Arguments{"rates fc*=0.1,conv1=2", "rates fc*=0.5"});
  CHECK(labels_with({"--class-weights", "balanced;0=2,1=0.5"}) ==
        Arguments{"balanced weights", "class weights 0=2,1=0.5"});
  CHECK(labels_with({"--freeze", "conv1,bn1;conv1"}) == Arguments{"conv1,bn1 frozen", "conv1 frozen"});
}

TEST_CASE("every flag of the table that is of training can be listed, also one that comes later",
          "[compare]") {
  app::Options options;
  int listed = 0;
  for (const app::Flag& f : app::shared_flags(options)) {
    const bool of_training = (f.groups & (app::kModel | app::kNormalize | app::kTraining)) != 0;
    const bool numbers = std::holds_alternative<std::vector<double>*>(f.value);
    INFO(f.name);
    if (of_training) CHECK((f.several != nullptr) == (!numbers && !f.has(app::kShared)));
    listed += f.several != nullptr;
  }
  CHECK(listed > 25);
}

TEST_CASE("each optimizer of a comparison has its own defaults, and what is given is for those that know it",
          "[compare]") {
  // As compare begins: sgd has its defaults, the others those of the table of optimizers.
  auto arms = [](const std::string& list, const std::string& lr) {
    app::Options o;
    o.several["--optimizer"] = split(list, ',');
    o.optimizer = o.several["--optimizer"][0];
    o.lr = lr.empty() ? "0.1" : lr;
    if (!lr.empty()) o.given.push_back("--lr");
    o.weight_decay = 0;
    o.hyper["momentum"] = 0;
    return app::arms_of(o);
  };
  for (const char* list : {"sgd,adamw,muon", "adamw,muon,sgd"}) {
    INFO(list);
    CHECK(arms(list, "").size() == 3);
    for (const app::Options& o : arms(list, "")) {
      INFO(o.optimizer);
      const bool sgd = o.optimizer == "sgd";
      CHECK(o.lr == (sgd ? "0.1" : fmt::format("{}", optimizer_entry(o.optimizer).lr)));
      CHECK(o.weight_decay == (sgd ? 0 : optimizer_entry(o.optimizer).weight_decay));
      const HyperValues hyper = app::hyper_values(o);
      if (o.optimizer == "muon") CHECK(hyper.at("momentum") == 0.95);
      if (sgd) CHECK(hyper.at("momentum") == 0);
    }
    for (const app::Options& o : arms(list, "0.02")) CHECK(o.lr == "0.02");
  }
  CHECK(labels_with({"--optimizer", "sgd,adamw"}) == Arguments{"SGD", "AdamW"});
  CHECK(labels_with({"--optimizer", "sgd,adam", "--momentum", "0,0.9"}) ==
        Arguments{"SGD · momentum 0", "SGD · momentum 0.9", "Adam"});
  const Json plan = planned({"--optimizer", "sgd,adamw", "--batch-norm", "on", "--lr", "0.1,0.01"});
  CHECK(labels_of(plan) ==
        Arguments{"rate 0.1 · SGD", "rate 0.1 · AdamW", "rate 0.01 · SGD", "rate 0.01 · AdamW"});
  CHECK(plan.contains("lr"));
  // What was not given is not written as if it had been.
  const Json own = planned({"--optimizer", "sgd,adamw", "--batch-norm", "on", "--beta1", "0.8"});
  CHECK(!own.contains("lr"));
  CHECK(!own.contains("momentum"));
  CHECK(own["beta1"] == 0.8);
  CHECK(own["arms"][0]["lr"] == 0.1);
  CHECK(own["arms"][1]["lr"] == 0.001);
}

TEST_CASE("networks are listed by name, by file, or as texts between semicolons", "[compare]") {
  TemporaryFolder folder;
  fs::create_directories(folder / "x");
  auto put = [&](const std::string& name, const std::string& text) {
    write_file_atomic((folder / name).string(), text);
    return (folder / name).string();
  };
  const std::string a = put("a.net", "# small; with batch norm\nconv 4, bn, relu, flatten\nlinear classes\n"),
                    b = put("b.net", "flatten, linear 8, bn, linear classes"),
                    other = put("x/a.net", "flatten\nlinear 9, bn, linear classes"),
                    same = put("same.net", "conv 4\nbn\nrelu\nflatten\nlinear classes # the same"),
                    none = put("none.net", "flatten\nlinear classes");
  CHECK(labels_with({"--model", a + "," + b + ",lenet5"}) == Arguments{"a", "b", "lenet5"});
  CHECK(labels_with({"--model", "lenet5, " + a}) == Arguments{"lenet5", "a"});
  CHECK(labels_with({"--model", a + "," + other}) == Arguments{"a (1)", "a (2)"});
  CHECK(labels_with({"--model", "mlp,cnn"}) == Arguments{"mlp", "cnn"});
  // One text, whatever its commas; two texts.
  CHECK(labels_with({"--model", "flatten, linear 8, bn, linear classes"}) ==
        Arguments{"flatten, linear 8, bn, linear classes"});
  CHECK(labels_with({"--model", "flatten, linear classes; flatten, linear 8, linear classes"}) ==
        Arguments{"flatten, linear classes", "flatten, linear 8, linear classes"});
  CHECK(labels_with({"--model", "flatten, linear 8, # not; this\nlinear classes"}).size() == 1);
  // A network without batch norm has no arms with and without.
  CHECK(labels({"--model", a + "," + none}) ==
        Arguments{"a · batch norm", "a · no batch norm", "none · no batch norm"});
  // What a run keeps is the networks themselves under their names, as a list again.
  const Json plan = planned({"--model", a + "," + b});
  CHECK(plan["arms"][0]["settings"]["model"] == "a");
  fs::remove(folder / "a.net");
  CHECK(labels_of(planned({"--model", plan["model"]})) == labels_of(plan));
  CHECK(planned({"--model", plan["model"]})["model"] == plan["model"]);
  RunResult r = run_sigma({"compare", "--dry-run", "--model", same + "," + put("a.net", read_text(same))});
  CHECK(r.exit_code == 2);
  CHECK(contains(r.err, "a.net\" is listed twice"));
}

TEST_CASE("what stands where a network has batch norm is compared, too", "[compare]") {
  const Arguments kinds{"--model", "mlp", "--norm", "batch,group:8,layer,none"};
  const Arguments expected{"batch norm", "group norm (8 groups)", "layer norm", "no norm"};
  CHECK(labels(kinds) == expected);  // --batch-norm off is --norm none
  CHECK(labels_with(kinds) == expected);
  CHECK(labels({"--model", "mlp", "--norm", "group:8"}) ==
        Arguments{"group norm (8 groups)", "no group norm"});
  CHECK(labels({"--model", "mlp", "--norm", "none"}) == Arguments{"mlp"});
}

TEST_CASE("arms have lengths of their own where they see the same number of images", "[compare]") {
  auto steps = [](const Arguments& flags) {
    std::vector<int64_t> all;
    const Json plan = planned(flags + Arguments{"--batch-norm", "on"});
    for (const Json& arm : plan["arms"]) all.push_back(arm.at("steps"));
    return all;
  };
  CHECK(steps({"--batch-size", "4,16,60", "--epochs", "3"}) == std::vector<int64_t>{48, 12, 6});
  CHECK(steps({"--batch-size", "4,16,64", "--max-steps", "7"}) == std::vector<int64_t>{7, 7, 7});
  CHECK(steps({"--batch-size", "4,16,64", "--epochs", "2", "--max-steps", "9"}) ==
        std::vector<int64_t>{9, 8, 2});
  // Batches cannot have more images than there are: 64 and 100 are the same.
  CHECK(labels_with({"--batch-size", "16,64,100"}) == Arguments{"batches of 16", "batches of 64"});
}

TEST_CASE("a list with a wrong value, twice the same one, or too many combinations is refused", "[compare]") {
  auto refused = [](const Arguments& flags, const std::string& message) {
    RunResult r = run_sigma(Arguments{"compare", "--limit-train", "64", "--dry-run"} + flags);
    INFO(r.err);
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, message));
  };
  refused({"--batch-size", "4,x"}, "--batch-size: expected a whole number, got \"x\" (value 2 of \"4,x\")");
  refused({"--batch-size", "0,4"}, "--batch-size: expected at least 1, got 0 (value 1 of \"0,4\")");
  refused({"--optimizer", "sgd,adamx"},
          "--optimizer: unknown name \"adamx\", expected one of adam, adamw, muon, sgd (value 2 of");
  refused({"--model", "lenet5,lenet6"}, "--model: unknown name \"lenet6\", expected one of mlp");
  refused({"--batch-size", "4,,8"}, "--batch-size: expected comma-separated values, got \"4,,8\"");
  refused({"--lr", "0.1,1e-1"}, "--lr: \"1e-1\" is listed twice");
  refused({"--weight-decay", "5e-4,0.0005"}, "--weight-decay: \"0.0005\" is listed twice");
  for (const char* flag : {"--epochs", "--max-steps", "--seed", "--eval-every"})
    refused({flag, "1,2"},
            std::string(flag) + ": expected one value, for all arms of a comparison, got \"1,2\"");
  refused({"--beta1", "0.5,0.9"}, "--beta1: is for --optimizer adam, got sgd");
  refused({"--batch-size", "1,2,3,4,5,6,7,8,9", "--warmup", "1,2,3,4,5,6,7,8,9"},
          "compare: 2 --batch-norm x 3 --normalize x 9 --batch-size x 9 --warmup are more than 256 arms");
  refused({"--norm", "batch,grup:8"}, "--norm: ");
  // An arm that does not fit is named.
  refused({"--batch-size", "4,1", "--normalize", "unit", "--model", "mlp,lenet5"},
          "Expected more than 1 value per channel when training, got input size (1, 512) (in the arm of "
          "--model mlp, --batch-size 1)");
  for (const char* flag : {"--batch-size", "--optimizer", "--weight-decay", "--momentum"}) {
    RunResult r = run_sigma({"train", flag, "1,2", "--dry-run"});
    CHECK(r.exit_code == 2);
    CHECK(contains(r.err, std::string(flag) + ": expected one value, got \"1,2\"; lists are for compare"));
  }
}

TEST_CASE("the help of compare says that all flags of training take lists", "[cli][compare]") {
  const std::string help = run_sigma({"help", "compare"}).out;
  for (const char* part : {"--optimizer sgd,adamw", "--batch-size 4,16,64", "--model a.net,b.net",
                           "separated by semicolons", "--epochs, --val, --seed"})
    CHECK(contains(help, part));
  CHECK(!contains(run_sigma({"help", "train"}).out, "separated by semicolons"));
}
