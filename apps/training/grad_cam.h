// Where a network looks: Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks
// via Gradient-based Localization", eq. 1 and 2).
//
//   a_k = mean over the places of d logit_c / d A_k,   L = max(0, sum_k a_k A_k)
//
// with A (C, h, w) what the last layer that still has places, h w > 1, gives for the image: usually what the
// classifier is fed with. L is resized to the image (bilinear, align_corners=False) and divided by its
// maximum. With one linear layer behind a global average it is the class activation map of Zhou et al. 2016.
#pragma once

#include "data/formats/image.h"
#include "layers/module.h"

namespace sigma {

// Of normalized images (N, C, H, W) and a class of each, float32 (N, H, W) of 0 to 1: the larger, the more
// the place speaks for the class. All 0 where nothing does, or where numbers are no longer finite. `layer` is
// the path of a layer whose output is taken instead. In eval mode; mode, statistics, parameters, their
// gradients and hooks are afterwards as they were, and the bits depend on no number of threads. Throws kind
// usage for a layer that there is not or that has no places, and for a network without one.
Tensor grad_cam(Module& model, const Tensor& images, const std::vector<int64_t>& classes,
                const std::string& layer = "");

// Whether a layer's output for such images (N, C, H, W) has places, so that grad_cam finds one.
bool has_spatial_layer(Module& model, const Shape& images);

// The heat (H, W) of 0 to 1 over an image of that size, as one of three channels: the image in grey, under
// black where the heat is 0, over violet and red, to light yellow where it is 1.
Image heat_overlay(const Image& image, const Tensor& heat);

}  // namespace sigma
