// What `train` and `eval` leave behind of how a network does: measures of each class, and what it says of
// each image.
#pragma once

#include <string>
#include <vector>

#include "apps/training/predictions.h"
#include "core/json.h"

namespace sigma::app {

struct Outcomes {
  EvalResult result;
  std::vector<Prediction> predictions;  // of each image of data.measured(), in order
};
// In one pass over data.measured(); throws Stopped when a signal asks to.
Outcomes outcomes_of(Module& model, const Dataset& data, const Normalization& normalization);

// "precision", "recall", "f1" and "images" of each class under "classes", their means under "macro" and
// "weighted", and the top-5 accuracy where there are more classes than five.
Json metrics_json(const EvalResult& result, const std::vector<std::string>& class_names);
// The same as a table for the terminal, and as a file: class,images,precision,recall,f1.
std::string metrics_table(const EvalResult& result, const std::vector<std::string>& class_names);
std::string metrics_csv(const EvalResult& result, const std::vector<std::string>& class_names);

// index,file,class,predicted,probability,class_probability,correct: a row for each image. `index` counts from
// 0 within the part; `file` is below the data set's folder, and empty where images have no files.
std::string predictions_csv(const std::vector<Prediction>& predictions, const Split& split,
                            const std::vector<std::string>& class_names);

}  // namespace sigma::app
