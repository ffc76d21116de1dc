// Muon: momentum whose matrix is made orthogonal before it is a step, as PyTorch's torch.optim.Muon. Jordan
// et al. 2024, kellerjordan.github.io/posts/muon.
//
//   b = b + (1 - momentum) (g - b);   d = nesterov ? g + momentum (b - g) : b;
//   p *= 1 - lr * weight_decay;   p -= lr * adjust * orthogonal(d)
//
// A convolution's weight (OUT, IN, H, W) is the matrix OUT x IN H W, as published; PyTorch refuses it. adjust
// is sqrt(max(1, rows / columns)) (`original`), 0.2 sqrt(max(rows, columns)), with which rates and decays of
// AdamW fit (`match_rms_adamw`, Liu et al. 2025), or sqrt(rows / columns) (`spectral_unclamped`, Bernstein
// 2025).
//
// orthogonal(d), with d = U diag(s) V':
//   Newton-Schulz  x = d / max(|d|, norm_epsilon) in the Frobenius norm, the smaller side first; ns_steps
//                  times A = x x', x = a x + (b A + c A A) x. Singular values go to about 0.7 to 1.2, not to
//                  1. In the parameter's dtype; PyTorch computes this in bfloat16.
//   exact          U V' over the singular values that are not 0 to rounding (core/linalg.h, matrix_rank's
//                  bound). linalg::polar would fill the rest with directions that the gradient has not: a
//                  unit that is dead has a row of zeros, and is to keep it.
//
// Every weight of two or more dimensions is such a matrix, the first convolution and the last layer too,
// which others give to AdamW.
//
// What is no matrix - biases, the gains of normalization, groups that say elementwise - takes a step of AdamW
// (adamw.h) with the options `others` and the rate others_scale * lr: those rates are of other sizes.
//
// State: momentum_buffer (b), PyTorch's name; of the others AdamW's.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/linalg.h"
#include "core/math.h"
#include "optim/adam.h"

namespace sigma {

enum class MuonAdjust : uint8_t { original, match_rms_adamw, spectral_unclamped };

struct MuonOptions {
  double lr = 1e-3;
  double weight_decay = 0.1;
  double momentum = 0.95;  // at least 0
  bool nesterov = true;
  std::array<double, 3> ns_coefficients = {3.4445, -4.7750, 2.0315};
  int ns_steps = 5;  // 1 to 99
  double norm_epsilon = 1e-7;
  MuonAdjust adjust = MuonAdjust::original;
  bool exact = false;
  AdamOptions others;  // lr and weight_decay are the groups'
  double others_scale = 0.05;
};

class Muon : public Adam {
 public:
  Muon(const std::vector<Variable>& parameters, const MuonOptions& options)
      : Muon({group_of(parameters, options.lr, options.weight_decay)}, options) {}
  // Rates and decays are the groups' own.
  Muon(std::vector<ParameterGroup> groups, const MuonOptions& options)
      : Adam("muon", std::move(groups), options.others, true), options_(options) {
    SIGMA_CHECK(options.momentum >= 0 && std::isfinite(options.momentum), "muon",
                "expected momentum of at least 0, got {}", options.momentum);
    SIGMA_CHECK(options.ns_steps >= 1 && options.ns_steps < 100, "muon",
                "expected 1 to 99 steps of Newton and Schulz, got {}", options.ns_steps);
    SIGMA_CHECK(options.norm_epsilon > 0 && std::isfinite(options.norm_epsilon), "muon",
                "expected norm_epsilon above 0, got {}", options.norm_epsilon);
    SIGMA_CHECK(options.others_scale >= 0 && std::isfinite(options.others_scale), "muon",
                "expected others_scale of at least 0, got {}", options.others_scale);
  }
  std::string kind() const override { return "Muon"; }

 protected:
  std::vector<Slot> slots() const override { return {{"momentum_buffer"}}; }
  std::vector<Slot> elementwise_slots() const override { return Adam::slots(); }
  void update(const std::vector<Update>& updates) override {
    std::vector<Update> others;
    for (const Update& u : updates) {
      if (!u.elementwise) {
        update_matrix(u);
        continue;
      }
      others.push_back(u);
      others.back().lr *= options_.others_scale;
    }
    Adam::update(others);
  }

 private:
  void update_matrix(const Update& u) const {
    Variable p = u.parameter;
    if (p.numel() == 0) return;
    const Tensor& g = u.gradient;
    Tensor& buffer = u.state[0];
    const double rest = 1 - options_.momentum;
    buffer += (g - buffer) * rest;
    const Tensor direction = options_.nesterov ? buffer + (g - buffer) * rest : buffer;
    const int64_t rows = p.value().dim(0), columns = p.numel() / rows;
    const Tensor step = orthogonal(direction.contiguous().reshape({rows, columns}));
    Tensor& weight = p.mutable_value();
    weight *= 1 - u.lr * u.weight_decay;
    weight -= step.reshape(p.shape()).to(weight.layout()) * (u.lr * adjusted(rows, columns));
  }

  double adjusted(int64_t rows, int64_t columns) const {
    const auto r = static_cast<double>(rows), c = static_cast<double>(columns);
    switch (options_.adjust) {
      case MuonAdjust::match_rms_adamw:
        return 0.2 * std::sqrt(std::max(r, c));
      case MuonAdjust::spectral_unclamped:
        return std::sqrt(r / c);
      default:
        return std::sqrt(std::max(1.0, r / c));
    }
  }

  Tensor orthogonal(const Tensor& d) const {
    // What is not finite goes on as it is, and the run is told that it diverged.
    if (options_.exact) return all_finite(d) ? orthogonal_factor(d) : d;
    const bool tall = d.dim(0) > d.dim(1);
    const auto [a, b, c] = options_.ns_coefficients;
    Tensor x = (tall ? transpose(d, 0, 1) : d) / std::max(norm2(d), options_.norm_epsilon);
    for (int i = 0; i < options_.ns_steps; ++i) {
      const Tensor gram = matmul(x, transpose(x, 0, 1));
      x = x * a + matmul(gram * b + matmul(gram, gram) * c, x);
    }
    return tall ? transpose(x, 0, 1) : x;
  }

  static Tensor orthogonal_factor(const Tensor& d) {
    const Svd f = svd(d, {.full_matrices = false});
    const double unit = d.dtype() == DType::float32 ? std::numeric_limits<float>::epsilon()
                                                    : std::numeric_limits<double>::epsilon();
    const double least = static_cast<double>(std::max(d.dim(0), d.dim(1))) * unit * f.s.at({0});
    return matmul(f.u * gt(f.s, least).to(d.dtype()), f.vh);
  }

  MuonOptions options_;
};

inline std::vector<HyperParameter> muon_hyper_parameters() {
  std::vector<HyperParameter> all = adam_hyper_parameters();
  std::erase_if(all, [](const HyperParameter& h) { return h.name == "amsgrad"; });
  all.insert(
      all.end(),
      {{.name = "momentum", .about = "of SGD and Muon", .initial = 0.95, .below = 1},
       {.name = "nesterov", .about = "Nesterov momentum", .initial = 1, .is_switch = true},
       {.name = "ns-steps",
        .about = "of Muon: steps of Newton and Schulz",
        .initial = 5,
        .least = 1,
        .below = 100,
        .is_whole = true},
       {.name = "exact-orthogonal",
        .about = "of Muon: the orthogonal factor by singular values instead",
        .is_switch = true},
       {.name = "match-rms-adamw", .about = "of Muon: adjust rates so that AdamW's fit", .is_switch = true},
       {.name = "others-scale",
        .about = "of Muon: the rate of AdamW for biases and normalization, as a share",
        .initial = 0.05}});
  return all;
}

inline const OptimizerRegistration muon_registration({
    .name = "muon",
    .about = "momentum made orthogonal, matrix by matrix; AdamW for what is none",
    .lr = 0.02,
    .weight_decay = 0.01,
    .decay_all = false,
    .hyper = muon_hyper_parameters(),
    .make = [](std::vector<ParameterGroup> groups, const HyperValues& v) -> std::unique_ptr<Optimizer> {
      const MuonOptions options{
          .momentum = v.at("momentum"),
          .nesterov = v.at("nesterov") != 0,
          .ns_steps = static_cast<int>(v.at("ns-steps")),
          .adjust = v.at("match-rms-adamw") != 0 ? MuonAdjust::match_rms_adamw : MuonAdjust::original,
          .exact = v.at("exact-orthogonal") != 0,
          .others = {.beta1 = v.at("beta1"), .beta2 = v.at("beta2"), .epsilon = v.at("epsilon")},
          .others_scale = v.at("others-scale")};
      return std::make_unique<Muon>(std::move(groups), options);
    },
});

}  // namespace sigma
