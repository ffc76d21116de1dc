// Every layer. A new layer is one new file and one line here, and its examples in checks.cpp.
#pragma once

#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/cross_entropy.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/module.h"
#include "layers/networks/models.h"
#include "layers/passes/factor.h"
#include "layers/passes/fold.h"
#include "layers/passes/spectrum.h"
#include "layers/pooling.h"
#include "layers/residual.h"
#include "layers/sequential.h"
