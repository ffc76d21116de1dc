// All that a program wants that builds networks, trains them, saves, loads and uses them. Drawing and
// downloading are apart: <sigma/report/plot.h> and <sigma/data/download.h>.
#pragma once

#include "autograd/complex.h"
#include "autograd/gradcheck.h"
#include "autograd/linalg.h"
#include "autograd/ops.h"
#include "autograd/precision.h"
#include "core/linalg.h"
#include "core/math.h"
#include "core/npy.h"
#include "core/parallel.h"
#include "core/safetensors.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "layers/layers.h"
#include "optim/lr_schedule.h"
#include "optim/optimizers.h"
#include "training/checkpoint.h"
#include "training/class_weights.h"
#include "training/evaluate.h"
#include "training/fit.h"
#include "training/trainer.h"
