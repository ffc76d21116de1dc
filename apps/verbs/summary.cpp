// `sigma summary`: layers, output shapes, parameters and multiply-accumulates of a network.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/verbs/load_data.h"
#include "layers/networks/models.h"
#include "layers/passes/trace.h"

namespace sigma::app {
namespace {

std::string table(const std::vector<TraceRow>& rows) {
  size_t path = 5, layer = 5, shape = 12;
  for (const TraceRow& r : rows) {
    path = std::max(path, r.path.size());
    layer = std::max(layer, r.description.size());
    shape = std::max(shape, r.out.str().size());
  }
  std::string text;
  auto line = [&](const auto&... cells) {
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {:>12}\n", cells...);
  };
  line("name", path, "layer", layer, "output shape", shape, "parameters", "MACs");
  for (const TraceRow& r : rows)
    line(r.path, path, r.description, layer, r.out.str(), shape, r.parameters, r.macs);
  return text;
}

class Summary : public Verb {
 public:
  Summary() : Verb("summary", "layers, shapes, parameters, multiply-accumulates", kModel) {
    use("--data", "take the input size of this data set");
    use("--data-dir");
    use("--image-size");
  }
  void set_defaults(Options& o) const override { o.data.clear(); }

  int run(const Options& o) override {
    ModelInput input = default_input(o.model);
    if (!o.data.empty()) {
      DatasetOptions wanted = dataset_options(o);
      wanted.limit_train = wanted.limit_test = 1;
      wanted.without_test = WithoutTest::accept;
      const Dataset d = load_data(o.data, wanted, o);
      input = {d.channels(), d.height(), d.width(), d.classes()};
    }
    ModulePtr model = make_model(o.model, input, parse_switch("--batch-norm", o.batch_norm));
    const std::vector<TraceRow> rows = trace_leaves(*model, input.shape(1));
    const int64_t macs = total_macs(rows);
    if (!o.quiet)
      print(table(rows) +
            fmt::format("{} for {} inputs: {} parameters, {:.2f} M multiply-accumulates an image", o.model,
                        input.str(), model->parameter_count(), static_cast<double>(macs) / 1e6));
    if (!o.json) return 0;
    Json layers = Json::array();
    for (const TraceRow& r : rows)
      layers.push_back({{"name", r.path},
                        {"layer", r.description},
                        {"shape", r.out.str()},
                        {"parameters", r.parameters},
                        {"macs", r.macs}});
    print_json(
        {{"model", o.model}, {"parameters", model->parameter_count()}, {"macs", macs}, {"layers", layers}});
    return 0;
  }
};

const RegisterVerb<Summary> register_summary(60);

}  // namespace
}  // namespace sigma::app
