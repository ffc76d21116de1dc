// What `sigma spectrum` measured, and how it is written down.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/report/plot.h"
#include "core/json.h"
#include "layers/networks/models.h"
#include "layers/passes/spectrum.h"

namespace sigma::app {

// One layer of one network, as trained or with the batch norm behind it folded in.
struct SpectrumRow {
  LayerSpectrum layer;
  bool folded = false;
  std::optional<ActivationSpectrum> activations;
};

struct NetworkSpectrum {
  std::string checkpoint, label, model, data;
  bool batch_norm = true;
  ModelInput input;
  std::vector<SpectrumRow> rows;  // in the order of the layers, trained before folded
};

// What tells the paths apart: their parts without those that all begin or end with.
// "a/weights/last.safetensors" and "b/weights/last.safetensors" become "a" and "b"; one path alone is its
// file's name. No two are alike.
std::vector<std::string> distinct_labels(const std::vector<std::string>& paths);

std::string spectrum_table(const std::vector<NetworkSpectrum>& networks);
// A row a layer, trained and folded; a row a value. They are joined by label, layer and folded.
std::string spectrum_csv(const std::vector<NetworkSpectrum>& networks);
std::string singular_values_csv(const std::vector<NetworkSpectrum>& networks);
Json spectrum_json(const std::vector<NetworkSpectrum>& networks);  // infinity, which JSON lacks, is null
// Values from the largest to the smallest of each layer's operator, a panel a network, trained and folded,
// all on one scale.
std::vector<Chart> spectrum_charts(const std::vector<NetworkSpectrum>& networks);

}  // namespace sigma::app
