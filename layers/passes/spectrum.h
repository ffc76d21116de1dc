// Looking inside a network: the singular values of its layers and the spread of what flows out of them.
//
// A convolution has two spectra. The weight matrix (C_out x C_in KH KW) is what is trained and what a low
// rank compresses. The operator maps whole images, (C_in h w) numbers to (C_out h w / s^2), and its largest
// singular value is the layer's Lipschitz constant: neither spectrum determines the other.
//
// A singular value that is rounding alone, at most max(m, n) epsilon of the largest of its m x n matrix
// (matrix_rank's rule), is returned as 0, so that a singular layer has an infinite condition number and not
// one of some 1e16. For an operator m = C_out and n = s^2 C_in KH KW, the terms that meet at a frequency, and
// the largest is that of all frequencies: some kernels, a mean is one, lose a frequency as a whole.
#pragma once

#include <functional>

#include "layers/module.h"

namespace sigma {

// Every singular value of a convolution with circular padding on images (C_in, h, w); Sedghi, Gupta and Long,
// "The Singular Values of Convolutional Layers", ICLR 2019.
//
//   weight    (C_out, C_in / groups, KH, KW), float32 or float64
//   W(f)      sum_uv weight[:, :, u, v] e^(2 pi i (f1 u / h + f2 v / w)), C_out x C_in
//   stride 1  the values of W(f), for each of the h w frequencies f
//   stride s  the values of the C_out x s^2 C_in matrices of W(g + (a h/s, b w/s)), a, b < s, side by side,
//             divided by s, for each of the h w / s^2 output frequencies g: those of a matrix fall on one
//             (aliasing)
//   groups    are operators of their own
//
// Returns groups * (h/s) (w/s) * min(C_out, s^2 C_in) / groups values, float64, descending, each to about
// 1e-15 of the largest. A kernel larger than the image wraps around it. The amount of padding does not
// matter: it shifts the output. Under zero padding, as networks have it, the values differ by an effect of
// the border that shrinks with the image. Fails when h or w is not a multiple of the stride.
Tensor conv_singular_values(const Tensor& weight, int64_t h, int64_t w, Pair stride = 1, Pair dilation = 1,
                            int64_t groups = 1);

// Singular values of a weight as the matrix (first size) x (all others), float64, descending.
Tensor weight_singular_values(const Tensor& weight);

// exp(-sum p log p), p = s / sum s: from 1 for one value to n for n equal ones; Roy and Vetterli, "The
// effective rank", EUSIPCO 2007. Zeros do not count, and a matrix of zeros has effective rank 0. Values are
// real, not negative, in any order and shape.
double effective_rank(const Tensor& values);
// Largest over smallest; infinite when the smallest is 0, 0 for no values.
double condition_number(const Tensor& values);

// Eigenvalues of the covariance of samples (N, C), float32 or float64: min(N - 1, C) values, float64,
// descending. They are s^2 / (N - 1) for the singular values s of the centred samples; the product X^T X
// would lose all those below 1e-16 of the largest, where s^2 reaches 1e-30.
Tensor covariance_spectrum(const Tensor& samples);

struct LayerSpectrum {
  std::string path, kind;  // "layer1.0.conv1", "Conv2d"
  Shape shape;             // of the weight
  int64_t h = 0, w = 0;    // size of a convolution's input
  double frobenius = 0;    // norm of the weight
  // Singular values. `op` is the convolution's operator on h x w; undefined for Linear and where the stride
  // does not divide the image.
  Tensor weight, op;
};
// Every affine layer (Conv2d, Linear) of a model in eval mode that zeros of shape `input`, (1, C, H, W), come
// through, parents first.
std::vector<LayerSpectrum> layer_spectra(Module& model, const Shape& input);

struct ActivationSpectrum {
  std::string path;
  int64_t samples = 0, features = 0;
  // covariance_spectrum of the samples. Of float32 outputs those below 1e-14 of the largest are rounding: a
  // layer of 32 channels that see 9 pixels each has 9 values and a condition number of about 1e16.
  Tensor covariance;
};
// What comes out of every affine layer of a model in eval mode. Features are channels, samples are
// images x positions; of more than `max_samples` a layer that many are taken, one at a random place of each
// of as many equal parts, the same in every run. (At even distances of 64 samples all would come from one
// column of a 32 x 32 image.) `next` gives batches of at least one image, `images` in all.
std::vector<ActivationSpectrum> activation_spectra(Module& model, int64_t images,
                                                   const std::function<Variable()>& next,
                                                   int64_t max_samples = 16384);

}  // namespace sigma
