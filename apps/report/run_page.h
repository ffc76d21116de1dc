// The page of one training run: what came of it, how it went, what the network takes for what, and with what
// settings. All of it is in the struct; nothing here knows a network or a data set.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/drawing.h"
#include "report/picture.h"

namespace sigma {

struct RunReport {
  std::string model, data;  // "cnn", "mnist"
  int64_t train_images = 0, validation_images = 0, test_images = 0;
  int64_t parameters = 0;
  double epochs = 0, seconds = 0;
  bool averaged = false;     // the weights are running averages
  bool ended_early = false;  // by the patience

  // A part of the data set as the network of the last weights does on it, and what it takes for what:
  // confusion[true class][predicted class].
  struct Result {
    std::string part;  // "test" or "validation"
    double accuracy = 0, loss = 0;
    std::vector<std::vector<int64_t>> confusion;
  };
  Result result;
  std::optional<double> validation_accuracy;  // beside a result on the test part
  std::vector<std::string> class_names;
  struct ClassScore {
    double precision = 0, recall = 0, f1 = 0;
    int64_t images = 0;
  };
  std::vector<ClassScore> scores;  // of each class
  struct Taken {
    int64_t truth = 0, guess = 0, images = 0;
    double share = 0;  // of the images of the true class
  };
  std::vector<Taken> confusions;  // the most frequent first

  // Measurements on the way, of which the best chose the weights that are kept as best.
  struct Measured {
    double epoch = 0;
    double train_loss = 0, train_accuracy = 0, loss = 0, accuracy = 0;
  };
  std::vector<Measured> measured;
  std::string measured_part;                 // "validation" or "test"
  bool measured_some = false;                // of its images, not all
  double best_epoch = 0, best_accuracy = 0;  // epoch 0: not known
  std::string how_to_validate;               // a sentence, for a run that was measured on test images

  struct Sample {
    Picture raw, normalized;
    std::string caption;
  };
  std::vector<Sample> samples;
  std::string normalization;  // what was done to them, and what black and white are

  struct Mistake {
    Picture image, heat;  // heat without pixels: none
    int64_t truth = 0, guess = 0;
    double probability = 0;  // of the guess
    std::string file;        // empty: it has none of its own
  };
  std::vector<Mistake> mistakes;  // the most certain first
  std::string no_heat;            // why pictures have no heat beside them, a sentence; or ""

  NetworkDrawing network;
  std::vector<std::pair<std::string, std::string>> settings;  // flags that are not at their default
  std::string config, command, environment;
};

// The file's bytes. Texts may be anything; numbers that are not finite and what is empty is left out.
std::string report_html(const RunReport& run);

}  // namespace sigma
