// Layers in two factors: an affine layer replaced by a Sequential of two thinner ones of its kind, by
// truncated singular value decomposition of its weight. With a matrix M of the weight's values,
//
//   M ~ (U_r S_r^1/2) (S_r^1/2 V_r^T)
//
//   linear   M = W (out x in)
//            Linear(in, r), Linear(r, out); Girshick 2015 (Fast R-CNN)
//   channel  M (out x in*kh*kw)
//            Conv2d(in, r, kh x kw), Conv2d(r, out, 1x1); Zhang et al. 2015
//   spatial  M (in*kh x out*kw), M[(c,u),(o,v)] = w[o,c,u,v]
//            Conv2d(in, r, kh x 1), Conv2d(r, out, 1 x kw); Jaderberg et al. 2014
//
// The second layer has the bias; stride, padding and dilation are split between the two so that the shapes
// stay. At full rank the result is that of the layer, but for rounding.
#pragma once

#include "core/linalg.h"
#include "layers/affine.h"

namespace sigma {

enum class FactorScheme : uint8_t { linear, channel, spatial };
const char* name_of(FactorScheme scheme);
FactorScheme parse_factor_scheme(const std::string& name);  // throws kind usage for an unknown name

// One replacement in a model; a model's list is applied in order.
struct Factor {
  std::string path;  // of the layer, dotted
  FactorScheme scheme = FactorScheme::linear;
  int64_t rank = 0;
};

// The schemes a layer can be factored by: none for grouped layers and those that are no affine map.
std::vector<FactorScheme> factor_schemes(const Module& layer);
// The matrix M, in float64.
Tensor factor_matrix(const Module& layer, FactorScheme scheme);
// Weights that one more rank costs.
int64_t weights_per_rank(const Module& layer, FactorScheme scheme);
// Multiply-accumulates that one more rank costs, for an image that the layer takes from `in` to `out`.
int64_t macs_per_rank(const Module& layer, FactorScheme scheme, const Shape& in, const Shape& out);

// The two layers. `svd` is the thin decomposition of factor_matrix; without it the values are 0, to be
// loaded.
ModulePtr factored(const Module& layer, FactorScheme scheme, int64_t rank, const Svd* svd = nullptr);

// Puts factors in the place of layers, with values from the layers' weights or, for loading, 0. Throws when a
// path is not there, cannot be factored that way, or the rank is not within 1 .. min(rows, columns) of M.
void apply_factors(Module& model, const std::vector<Factor>& factors, bool values);
// Puts `layer` in the place of the layer at `path`, at all its paths when it is shared. Throws when there is
// none, and when its parent keeps pointers to its layers (Module::replaces_children).
void replace_layer(Module& model, const std::string& path, ModulePtr layer);

}  // namespace sigma
