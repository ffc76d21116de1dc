#include "layers/channel_norm.h"

#include <utility>

namespace sigma {
namespace {
thread_local bool update = true;
}

NoStatisticsUpdate::NoStatisticsUpdate() : previous_(std::exchange(update, false)) {}
NoStatisticsUpdate::~NoStatisticsUpdate() { update = previous_; }
bool statistics_update_enabled() { return update; }

}  // namespace sigma
