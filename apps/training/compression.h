// What compression decides: which layers to factor, by which scheme, at which rank.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "training/checkpoint.h"

namespace sigma {

// One way to factor a layer, at every rank.
struct FactorOption {
  FactorScheme scheme;
  Svd svd;                     // thin, of the scheme's matrix
  std::vector<double> energy;  // share of the squared singular values that rank r keeps, at [r - 1]
  int64_t weights_per_rank = 0, macs_per_rank = 0;
  int64_t max_rank() const { return static_cast<int64_t>(energy.size()); }
};

struct Candidate {
  std::string path;
  ModulePtr layer;  // as it was
  Shape weight;
  int64_t parameters = 0, bias = 0, macs = 0;  // of the whole layer, for one image
  std::vector<FactorOption> options;
};

// What becomes of one candidate; `option` -1: it stays whole.
struct Choice {
  int option = -1;
  int64_t rank = 0;
};
double energy_of(const Candidate& c, const Choice& choice);
int64_t parameters_of(const Candidate& c, const Choice& choice);
int64_t macs_of(const Candidate& c, const Choice& choice);

// Every Linear and ungrouped Conv2d of the model, with its decompositions. Convolutions are factored by
// `scheme` (empty: by the better), linear layers by the only one they have; the scheme linear leaves
// convolutions out. None when no layer of the model has the scheme.
std::vector<Candidate> candidates_of(Module& model, const ModelInput& input,
                                     const std::optional<FactorScheme>& scheme);

// A layer that would not get smaller stays whole.
//   energy  each layer keeps at least this share, at the fewest parameters
//   rank    this rank in every layer that has it, by the scheme that keeps most energy
std::vector<Choice> choose_by_energy(const std::vector<Candidate>& all, double energy);
std::vector<Choice> choose_by_rank(const std::vector<Candidate>& all, int64_t rank);
// At most this share of all candidates' parameters, or multiply-accumulates, with the largest product of the
// layers' energies that a Lagrange multiplier finds (rank selection of Zhang et al. 2015, section 3.3).
enum class Cost : uint8_t { parameters, macs };
std::vector<Choice> choose_by_share(const std::vector<Candidate>& all, double share, Cost cost);

// Replaces the chosen layers in `model` and returns what was done, for the checkpoint.
std::vector<Factor> factor_model(Module& model, const std::vector<Candidate>& all,
                                 const std::vector<Choice>& choices);

}  // namespace sigma
