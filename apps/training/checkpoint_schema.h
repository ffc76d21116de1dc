// What a checkpoint may hold: the one place where the content of a file is turned into a Checkpoint, and
// where every part of it is checked.
#pragma once

#include "core/safetensors.h"
#include "training/checkpoint.h"

namespace sigma {

// Throws kind checkpoint; messages begin with `place`, the file's name.
Checkpoint checkpoint_from(const SafeTensors& content, const std::string& place);
// What checkpoint_from reads. Throws kind usage when it would refuse it.
SafeTensors content_of(const Checkpoint& checkpoint);

// Each throws an Error of `kind` at `place`.
void check_network(const NetworkRecord& network, ErrorKind kind, const std::string& place);
void check_weights(const std::map<std::string, Tensor>& weights, ErrorKind kind, const std::string& place);
// Whether a run of so many steps can have come so far: an epoch has `per_epoch` steps of at most
// `batch` images.
void check_progress(const Progress& progress, int64_t total_steps, int64_t per_epoch, int64_t batch,
                    const std::string& place);

}  // namespace sigma
