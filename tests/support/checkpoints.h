// Checkpoints as the file has them, for tests that look into one or write a bad one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "apps/training/checkpoint.h"
#include "core/json.h"
#include "core/safetensors.h"

namespace sigma::test {

struct RawCheckpoint {
  SafeTensors content;
  Json meta;  // what sigma says about it
};
RawCheckpoint read_raw(const std::string& path);  // the digest is verified, nothing else
// With a digest that fits.
void write_raw(const std::string& path, RawCheckpoint checkpoint);
// Of a network that was not trained.
RawCheckpoint raw_of(const Module& model, const TrainSetup& setup, const Dataset& data);

}  // namespace sigma::test
