// Every layer, and what works on them. The first list is the table of layers (table.h): a new layer is one
// file and one line here.
#pragma once

#include "layers/activations.h"       // ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU
#include "layers/batch_norm.h"        // BatchNorm1d, BatchNorm2d
#include "layers/conv2d.h"            // Conv2d
#include "layers/conv_transpose2d.h"  // ConvTranspose2d
#include "layers/cross_entropy.h"     // CrossEntropyLoss, MSELoss
#include "layers/dropout.h"           // Dropout
#include "layers/flatten.h"           // Flatten
#include "layers/group_norm.h"        // GroupNorm
#include "layers/layer_norm.h"        // LayerNorm
#include "layers/linear.h"            // Linear
#include "layers/pooling.h"           // MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, GlobalAvgPool2d
#include "layers/residual.h"          // Residual, BasicBlock
#include "layers/scalar.h"            // Scale, Shift
#include "layers/sequential.h"        // Sequential, Identity
#include "layers/softmax.h"           // Softmax
#include "layers/upsample.h"          // Upsample

#include "layers/affine.h"
#include "layers/channel_norm.h"
#include "layers/init.h"
#include "layers/module.h"
#include "layers/networks/models.h"
#include "layers/passes/factor.h"
#include "layers/passes/fold.h"
#include "layers/passes/spectrum.h"
#include "layers/passes/trace.h"
#include "layers/passes/update_bn.h"
#include "layers/save.h"
