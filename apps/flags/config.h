// The flags of a run as JSON: written into its config.json, read again by --config and --resume, compared.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "apps/flags/flag.h"
#include "apps/flags/options.h"
#include "core/json.h"

namespace sigma::app {

// The flags of options.verb that belong to a run (kIdentity, kRestored), and those of `own`; paths are
// absolute. Texts that are empty and values that there are not are left out.
Json flags_json(const Options& options, const std::vector<Flag>& own = {});

// "; --lr was 0.1, now 0.2; ..." for a resumed run, or "", of flags that are part of its identity.
std::string differing_flags(const Json& then, const Json& now);

// Flags and their texts, in the order they came; a later one counts.
using Settings = std::vector<std::pair<std::string, std::string>>;
// Of the flags in config.json those that have another value than the verb's default, with the chosen
// optimizer, and their texts.
Settings changed_flags(const Options& options);
// The command that repeats a run.
std::string command_line(const Options& options);

// Of a --config file, or a run's config.json. `known` are the verb's flags; an unknown key is an error that
// names the nearest.
Settings read_settings(const std::string& path, const std::vector<Flag>& known);

// "folder:PATH" and PATH with an absolute path; names of data sets as they are.
std::string absolute_path(const Flag& flag, const std::string& text);

}  // namespace sigma::app
