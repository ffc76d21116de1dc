// Cases that PyTorch computed (tests/golden/generate.py), and comparison with them under an error bound.
//
// The bounds are those of forward error analysis (Higham 2002, section 3): a sum of K products, each operand
// with a relative error u of its own, is off by at most gamma_(K+2) sum |a||b|, gamma_k = k u / (1 - k u), in
// any order of summation. 4 gamma_K sum |a||b| covers that and, in float64, the same error of PyTorch's side.
// u is 2^-24 or 2^-53: one formula serves both precisions. In float64 1e-10 (1 + |expected|) is a ceiling.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "layers/module.h"

namespace sigma::test {

struct GoldenCase {
  std::string name;  // "conv2d case 3 {...}"
  nlohmann::json options;
  std::map<std::string, Tensor> tensors;  // float64 and int64
  const Tensor& operator[](const std::string& key) const;
  Pair pair(const std::string& key) const;  // the option {h, w}
  bool flag(const std::string& key) const { return options.at(key).get<bool>(); }
};
// Fails the test when there are fewer than 20 cases, so that it cannot pass by comparing nothing.
std::vector<GoldenCase> load_golden(const std::string& layer);

inline double unit_roundoff(DType dtype) { return dtype == DType::float32 ? 0x1p-24 : 0x1p-53; }
inline double gamma(double terms, double u) { return terms * u / (1 - terms * u); }

// Tensors by their name in the golden file: y, dx, dp.weight, a.running_mean, ...
using Results = std::map<std::string, Tensor>;
// The allowed error of each element of each result.
using Bounds = std::map<std::string, std::vector<double>>;

// What of a case run_golden replaces: nothing; the parameters, input and cotangent by absolute values; by
// ones; the cotangent alone by absolute values or ones.
enum class Inputs { given, absolute, ones, absolute_cotangent, ones_cotangent };
// Loads parameters and buffers into `module`, runs it forward and backward, returns everything it computed.
Results run_golden(Module& module, const GoldenCase& c, DType dtype, Layout layout,
                   Inputs inputs = Inputs::given);

// One CHECK a tensor. Every result in the file must be there, and nothing else.
void compare(const GoldenCase& c, DType dtype, const Results& results, const Bounds& bounds);

using Maker = std::function<ModulePtr(const GoldenCase&)>;
using BoundMaker = std::function<Bounds(const GoldenCase&, const Maker&, double u)>;
// All cases of a layer, in float64 and float32, and images in both memory layouts.
void check_layer(const std::string& layer, const Maker& make, const BoundMaker& bounds);

// 4 gamma_K sum |a||b| for layers that are linear in the input: the sums are what the layer gives in float64
// for the absolute values, and K what it gives for ones, within these limits: a mean of ones is 1 and hides
// how many there were, and layers in a row multiply their numbers of terms where the roundings only add.
BoundMaker linear_bounds(double min_terms = 1, double max_terms = 1e9);

}  // namespace sigma::test
