// What `sigma compare` measured: arms, which differ in batch norm, normalization or any other flags of
// training, several seeds each; and how it is written down.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/report/picture.h"
#include "core/json.h"

namespace sigma::app {

inline constexpr double kThresholds[] = {0.90, 0.95, 0.97, 0.98};

// What an arm has of a flag of which the comparison has several values. The value is empty, without words, of
// an optimizer that does not have the flag.
struct Setting {
  std::string flag, value, words;  // "batch-norm", "off", "no batch norm"
};

struct Arm {
  bool batch_norm;
  std::string normalize;
  double lr;
  std::vector<Setting> settings;  // in the order of the table of flags
  // With --epochs an arm of smaller batches has more steps, as all see the same number of images.
  int64_t steps = 0, eval_every = 0, eval_images = 0, batch_size = 1;
  std::string model{};            // a name of its network
  std::string histogram_layer{};  // path of the normalization that is looked at; empty: there is none
  std::string label() const;  // words of the settings: "no batch norm · rate 0.1"; of an only arm its model
  const Setting* of(const std::string& flag) const;  // null when all arms have the same
};

// Counts of values in equal bins; values outside fall into the first and last.
struct Histogram {
  double low = -4, high = 4;
  std::vector<double> share;
};

// One arm with one seed.
struct ArmRun {
  size_t arm = 0;
  uint64_t seed = 0;
  // Of each measurement: its step, test accuracy, mean training loss since the last, training time so far,
  // and percentiles of the activations that the histograms show.
  std::vector<int64_t> step;
  std::vector<double> accuracy, loss, seconds, p15, p50, p85;
  // What goes into the chosen normalization and what comes out.
  Histogram first_in, first_out, last_in, last_out;
  double test_accuracy = 0, ms_per_step = 0;
  int64_t diverged_at = -1;  // step, or -1

  int64_t steps_to(double accuracy_wanted) const;  // -1: never
  double seconds_to(double accuracy_wanted) const;
  Json json() const;
  static ArmRun from(const Json& json, const std::string& place);  // throws kind checkpoint
};

// Some images as the network gets them with a normalization, or as they are in their files.
struct Sample {
  std::string words;                                  // "standardized input"
  double low = 0, high = 0, mean = 0, deviation = 0;  // of all their values
  std::vector<Picture> images;  // the values of all brought to 0..255 by their lowest and highest
};

struct Comparison {
  std::string model, data, schedule;
  std::vector<double> rates;  // the learning rate of the first of the longest arms at each step
  std::string command;        // that repeats it
  // Of the longest arm, the first of them; the others may have their own.
  int64_t steps = 0, eval_every = 0, eval_images = 0, parameters = 0, batch_size = 1;
  int64_t seeds = 1;
  std::string measured = "test";  // the part of the data: "test" or "validation"
  std::string histogram_layer;    // of the first arm that has one; empty: no run has histograms
  std::vector<Arm> arms;
  std::vector<ArmRun> runs;  // ordered by arm, then seed
  std::string environment;   // of the machine, as JSON
  double wall_seconds = 0;
  std::vector<Sample> samples;
  std::string drawing;  // of the network, as SVG; empty: there are several

  std::vector<const ArmRun*> of(size_t arm) const;
};

Json summary_json(const Comparison& c);             // summary.json of cli.md
std::string measurements_csv(const Comparison& c);  // a row each measurement
std::string table_text(const Comparison& c);        // for the terminal
// A page for people; see page.h. It names what differs in words, never "arm".
std::string report_html(const Comparison& c);
// The charts of the report as a PNG or SVG file; empty when there is nothing to draw.
std::string curves_picture(const Comparison& c, bool svg);
std::string activations_picture(const Comparison& c, bool svg);
std::string values_picture(const Comparison& c, bool svg);  // accuracy by the values of flags with numbers

}  // namespace sigma::app
