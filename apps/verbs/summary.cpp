// `sigma summary`: layers, output shapes, parameters and multiply-accumulates of a network.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/training/network.h"
#include "apps/verbs/load_data.h"
#include "apps/verbs/summary_drawing.h"
#include "layers/networks/models.h"
#include "layers/table.h"

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
    flag("--draw", draw_, "also draw it: FILE.svg or FILE.png");
    flag("--as-text", as_text_, "print the network's text instead");
    flag("--words", words_, "print what a network's text can say instead");
    example("summary --model resnet20 --as-text", "a demo network as a text to begin with");
    example("summary --model my.net --data cifar10 --draw my.svg", "the layers of a network, and a drawing");
  }
  void set_defaults(Options& o) const override { o.data.clear(); }

  int run(const Options& o) override {
    if (!draw_.empty()) check_drawing_file(draw_);
    if (words_) return print_words();
    if (as_text_) return print_text(o);
    const ModelInput input = input_for(o);
    ModulePtr model = make_model(o.model, input, norm_of(parse_switch("--batch-norm", o.batch_norm), o.norm));
    std::vector<TraceRow> rows = trace(*model, input.shape(1));
    if (!draw_.empty()) draw_network(draw_, model_label(o.model), *model, rows);
    std::erase_if(rows, [](const TraceRow& r) { return !r.leaf; });
    const int64_t macs = total_macs(rows);
    if (!o.quiet)
      print(table(rows) +
            fmt::format("{} for {} inputs: {} parameters, {:.2f} M multiply-accumulates an image",
                        model_label(o.model), input.str(), model->parameter_count(),
                        static_cast<double>(macs) / 1e6));
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

 private:
  static int print_text(const Options& o) {
    const std::string text = canonical_text(model_text(o.model));
    if (o.json)
      print_json({{"model", model_label(o.model)}, {"text", text}});
    else
      print(text.substr(0, text.size() - 1));
    return 0;
  }

  static int print_words() {
    std::string text = "layers, by position what is in capitals, all by name:\n";
    for (const auto& [word, entry] : registered_words())
      text += "  " + word + (entry.arguments.empty() ? "" : " " + entry.arguments) + "\n";
    print(text +
          "groups:\n"
          "  residual { ... }, residual { ... } { shortcut }, N x item, name: item, { ... }\n"
          "  let piece(c, stride=1) = { ... }, then piece(16)\n"
          "values: 16, 3x5, classes, 2*c; bias=auto is on where no normalization follows");
    return 0;
  }

  std::string draw_;
  bool as_text_ = false, words_ = false;
};

const RegisterVerb<Summary> register_summary(60);

}  // namespace
}  // namespace sigma::app
