// What the report of a comparison shows beside charts: images as the networks get them, and the network.
#pragma once

#include "apps/verbs/compare_plan.h"

namespace sigma::app {

// After normalize().
void add_pictures(Plan& plan, const Dataset& data);

}  // namespace sigma::app
