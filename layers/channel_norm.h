// ChannelNorm: what passes over networks ask of a layer that normalizes its channels by statistics which it
// keeps. BatchNorm is one; layers of your own may be.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace sigma {

// y = (x - mean) * scale + shift, a value a channel each.
struct ChannelMap {
  std::vector<double> mean, scale, shift;
};

struct ChannelStatistics {
  std::vector<double> mean, var;  // a value a channel each
};

class ChannelNorm {
 public:
  virtual ~ChannelNorm() = default;

  // What the layer computes in eval mode. Throws in training mode, and when it keeps no statistics.
  virtual ChannelMap channel_map() const = 0;

  // Whether training updates running statistics.
  virtual bool tracks_statistics() const = 0;
  virtual void reset_running_stats() = 0;  // as before the first batch
  // Running mean and variance as they are now, in either mode. Throws when it keeps none.
  virtual ChannelStatistics running_statistics() const = 0;
  virtual double eps() const = 0;  // added to the variance under the root
  // running <- (1 - momentum) running + momentum batch; nullopt: the mean of all batches.
  virtual std::optional<double> momentum() const = 0;
  virtual void set_momentum(std::optional<double> momentum) = 0;
};

// While alive, forward passes on this thread leave running statistics as they are, in training mode too: a
// second look at a batch, such as the search for the layer that overflowed, must not count it twice.
class NoStatisticsUpdate {
 public:
  NoStatisticsUpdate();
  ~NoStatisticsUpdate();
  NoStatisticsUpdate(const NoStatisticsUpdate&) = delete;
  NoStatisticsUpdate& operator=(const NoStatisticsUpdate&) = delete;

 private:
  bool previous_;
};
bool statistics_update_enabled();

}  // namespace sigma
