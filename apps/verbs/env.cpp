// `sigma env`: version, CPU, SIMD target, BLAS and its core type, threads.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "apps/run/run_folder.h"
#include "core/kernels/gemm.h"

namespace sigma::app {
namespace {

class Env : public Verb {
 public:
  Env() : Verb("env", "version, CPU, SIMD target, BLAS, threads", kThreads) {}

  int run(const Options& o) override {
    apply_threads(o);
    Json j = environment();
    j["blas_self_test"] = kernels::blas_self_test();
    if (!o.quiet && !o.json)
      for (auto& [key, value] : j.items())
        print(fmt::format("{:<18} {}", key, value.is_string() ? value.get<std::string>() : json_text(value)));
    if (const char* forced = std::getenv("OPENBLAS_CORETYPE"))
      warn(
          fmt::format("OPENBLAS_CORETYPE={} pins OpenBLAS to that core's kernels; unset it before measuring "
                      "speed",
                      forced));
    if (!j["blas_self_test"].get<bool>())
      fail(ErrorKind::internal, "OpenBLAS",
           "matrix products are wrong on this machine; install a newer release");
    if (o.json) print_json(j);
    return 0;
  }
};

const RegisterVerb<Env> register_env(110);

}  // namespace
}  // namespace sigma::app
