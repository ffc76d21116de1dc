// Every layer. A new layer is one new file and one line here, and its examples in checks.cpp.
#pragma once

#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/cross_entropy.h"
#include "layers/dropout.h"
#include "layers/factor.h"
#include "layers/flatten.h"
#include "layers/fold.h"
#include "layers/linear.h"
#include "layers/models.h"
#include "layers/module.h"
#include "layers/pooling.h"
#include "layers/residual.h"
#include "layers/sequential.h"
#include "layers/spectrum.h"
