// Every optimizer of the library. A new one is one file and one line here.
#pragma once

#include "optim/adam.h"
#include "optim/adamw.h"
#include "optim/muon.h"
#include "optim/sgd.h"
