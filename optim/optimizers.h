// Every optimizer of the library. A new one is one file and one line here.
#pragma once

#include "optim/sgd.h"
