#include "apps/run/environment.h"

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/kernels/gemm.h"
#include "core/kernels/simd.h"
#include "core/parallel.h"

namespace sigma::app {

std::string machine_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

Json environment() {
  Json j;
  j["version"] = SIGMA_VERSION;
  j["compiler"] = __VERSION__;
  j["cpu"] = machine_name();
  j["processors"] = available_processors();
  j["threads"] = num_threads();
  j["simd"] = kernels::simd_name();
  j["simd_targets"] = kernels::simd_targets();
  j["blas"] = kernels::blas_version();
  j["blas_core"] = kernels::blas_core();
  if (const char* forced = std::getenv("OPENBLAS_CORETYPE")) j["openblas_coretype"] = forced;
  return j;
}

}  // namespace sigma::app
