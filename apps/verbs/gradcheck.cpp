// `sigma gradcheck`: every layer's gradient in float64 against differences, as a table.
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "core/text.h"
#include "layers/checks.h"

namespace sigma::app {
namespace {

class Gradcheck : public Verb {
 public:
  Gradcheck() : Verb("gradcheck", "gradient check of every layer in float64") {
    flag("--layer", layer_, "one layer only");
  }

  int run(const Options& o) override {
    const auto rows = gradcheck_layers(layer_);
    if (rows.empty()) refuse_layer();
    if (!o.quiet) print(table(rows));
    bool all = true;
    Json list = Json::array();
    for (const CheckRow& r : rows) {
      all &= r.result.passed;
      list.push_back({{"layer", r.layer},
                      {"example", r.what},
                      {"checked", r.result.checked},
                      {"max_error", r.result.worst_absolute},
                      {"passed", r.result.passed}});
    }
    if (o.json) print_json({{"passed", all}, {"examples", list}});
    return all ? 0 : 1;
  }

 private:
  [[noreturn]] void refuse_layer() const {
    fail(ErrorKind::usage, "--layer", "unknown layer \"{}\"{}", layer_, suggestion(layer_, layer_names()));
  }

  static std::string table(const std::vector<CheckRow>& rows) {
    std::string text = fmt::format("{:<18} {:<52} {:>7} {:>11} {:>11}\n", "layer", "example", "checked",
                                   "max |error|", "of allowed");
    bool all = true;
    for (const CheckRow& r : rows) {
      all &= r.result.passed;
      text += fmt::format("{:<18} {:<52} {:>7} {:>11.1e} {:>11.4f}  {}\n", r.layer, r.what, r.result.checked,
                          r.result.worst_absolute, r.result.worst,
                          r.result.passed ? "ok" : "FAILED: " + r.result.message);
    }
    return text + fmt::format("{} examples, float64, |analytic - numeric| <= 1e-7 + 1e-6 |numeric|: {}",
                              rows.size(), all ? "all pass" : "FAILED");
  }

  std::string layer_;
};

const RegisterVerb<Gradcheck> register_gradcheck(70);

}  // namespace
}  // namespace sigma::app
