// Flags that have several values, as those of a comparison may: how they are written, and the runs that their
// combinations are.
//
//   --batch-size 4,16,64                 values are separated by commas,
//   --lr-scale 'fc*=0.1,conv1=2;fc*=1'   and by semicolons where they may hold commas themselves
//   --model lenet5,a.net                 networks by their names or files, by commas;
//   --model 'flatten, linear classes'    without a semicolon a text is one network
#pragma once

#include <string>
#include <vector>

#include "apps/flags/flag.h"

namespace sigma::app {

// Whether the arms of a comparison may differ in it.
bool is_comparable(const Flag& flag);

// The values in a text. Throws kind usage when there are several and one is empty.
std::vector<std::string> items_of(const Flag& flag, const std::string& text);
// A text with these values.
std::string joined_items(const Flag& flag, const std::vector<std::string>& items);
// Whether two values are the same: 0.1 and 1e-1, or a network in two files.
bool same_value(const Flag& flag, const std::string& a, const std::string& b);

// What --model says: a file's text in its place, which keeps the file's name in a comment where it has to be
// told from others.
std::string network_of(const std::string& model, bool keep_name);
// How such a network is called: by its own name or its file's, without the ending, or as model_label.
std::string network_name(const std::string& model);

// Every combination of the values that flags have, in the order of the table, the first flag changing last;
// the given options where there is one of all. What is not given is as the optimizer of the combination has
// it; what some of the optimizers, normalizations and schedules do not know (--momentum, --whiten-epsilon,
// --warmup) is for the others. Throws kind usage when there are more than kMaxArms.
std::vector<Options> arms_of(const Options& options);
constexpr size_t kMaxArms = 256;

}  // namespace sigma::app
