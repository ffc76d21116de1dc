// `sigma summary`, `sigma gradcheck` and `sigma env`.
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "apps/run/run_folder.h"
#include "apps/verbs/verbs.h"
#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "layers/checks.h"
#include "layers/networks/models.h"
#include "layers/passes/trace.h"

namespace sigma::app {

int run_summary(const Options& o) {
  ModelInput input = default_input(o.model);
  if (!o.data.empty()) {
    Dataset d = load_dataset(o.data, {o.data_dir, 1, 1});
    input = {d.channels(), d.height(), d.width(), d.classes()};
  }
  ModulePtr model = make_model(o.model, input, parse_switch("--batch-norm", o.batch_norm));
  const std::vector<TraceRow> rows = trace_leaves(*model, input.shape(1));
  const int64_t macs = total_macs(rows);
  if (!o.quiet) {
    size_t w0 = 5, w1 = 5, w2 = 12;
    for (const TraceRow& r : rows) {
      w0 = std::max(w0, r.path.size());
      w1 = std::max(w1, r.description.size());
      w2 = std::max(w2, r.out.str().size());
    }
    std::puts(fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {:>12}", "name", w0, "layer", w1, "output shape",
                          w2, "parameters", "MACs")
                  .c_str());
    for (const TraceRow& r : rows)
      std::puts(fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>10}  {:>12}", r.path, w0, r.description, w1,
                            r.out.str(), w2, r.parameters, r.macs)
                    .c_str());
    std::puts(fmt::format("{} for {} inputs: {} parameters, {:.2f} M multiply-accumulates an image", o.model,
                          input.str(), model->parameter_count(), static_cast<double>(macs) / 1e6)
                  .c_str());
  }
  if (o.json) {
    Json j{{"model", o.model},
           {"parameters", model->parameter_count()},
           {"macs", macs},
           {"layers", Json::array()}};
    for (const TraceRow& r : rows)
      j["layers"].push_back({{"name", r.path},
                             {"layer", r.description},
                             {"shape", r.out.str()},
                             {"parameters", r.parameters},
                             {"macs", r.macs}});
    std::puts(j.dump().c_str());
  }
  return 0;
}

int run_gradcheck(const Options& o) {
  auto rows = gradcheck_layers(o.layer);
  if (rows.empty()) {
    std::string near = nearest(o.layer, layer_names());
    fail(ErrorKind::usage, "--layer", "unknown layer \"{}\"{}", o.layer,
         near.empty() ? "" : fmt::format("; did you mean {}?", near));
  }
  bool all = true;
  Json list = Json::array();
  if (!o.quiet)
    std::puts(fmt::format("{:<18} {:<52} {:>7} {:>11} {:>11}  {}", "layer", "example", "checked",
                          "max |error|", "of allowed", "")
                  .c_str());
  for (const CheckRow& r : rows) {
    all &= r.result.passed;
    if (!o.quiet)
      std::puts(fmt::format("{:<18} {:<52} {:>7} {:>11.1e} {:>11.4f}  {}", r.layer, r.what, r.result.checked,
                            r.result.worst_absolute, r.result.worst,
                            r.result.passed ? "ok" : "FAILED: " + r.result.message)
                    .c_str());
    list.push_back({{"layer", r.layer},
                    {"example", r.what},
                    {"checked", r.result.checked},
                    {"max_error", r.result.worst_absolute},
                    {"passed", r.result.passed}});
  }
  if (!o.quiet)
    std::puts(fmt::format("{} examples, float64, |analytic - numeric| <= 1e-7 + 1e-6 |numeric|: {}",
                          rows.size(), all ? "all pass" : "FAILED")
                  .c_str());
  if (o.json) std::puts(Json{{"passed", all}, {"examples", list}}.dump().c_str());
  return all ? 0 : 1;
}

int run_env(const Options& o) {
  apply_threads(o);
  Json j = environment();
  j["blas_self_test"] = kernels::blas_self_test();
  if (!o.quiet && !o.json)
    for (auto& [key, value] : j.items())
      std::puts(
          fmt::format("{:<18} {}", key, value.is_string() ? value.get<std::string>() : value.dump()).c_str());
  if (const char* forced = std::getenv("OPENBLAS_CORETYPE"))
    std::fputs(fmt::format("warning: OPENBLAS_CORETYPE={} pins OpenBLAS to that core's kernels; unset it "
                           "before measuring speed\n",
                           forced)
                   .c_str(),
               stderr);
  if (!j["blas_self_test"].get<bool>())
    fail(ErrorKind::internal, "OpenBLAS",
         "matrix products are wrong on this machine; install a newer release");
  if (o.json) std::puts(j.dump().c_str());
  return 0;
}

}  // namespace sigma::app
