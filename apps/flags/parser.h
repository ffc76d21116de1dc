// From the words of a command line to a verb with its options, and help texts; both follow from the verbs'
// flags.
//
//   sigma VERB [PART] [--flag VALUE | --flag=VALUE | --switch]... [word]...
//   sigma help [VERB [PART]], as sigma VERB --help
//
// After "--" everything is a word. A flag that is given twice counts the last time.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/flags/config.h"
#include "apps/flags/verb.h"

namespace sigma::app {

struct Call {
  std::unique_ptr<Verb> verb;  // null: only `text` is to be printed, a help text or the version
  std::unique_ptr<Options> options;
  std::vector<Flag> flags;  // of the verb, bound to both
  std::string text;
};

// Throws kind usage, in one sentence that says what was expected and suggests what is near. The command line
// overrides `beneath`, the settings of a configuration.
Call parse_command_line(const std::vector<std::string>& arguments, const Settings& beneath = {});

// What goes together; each flag alone is checked by parse_command_line.
void check_together(const Options& options);

// The flags of a verb as its help has them: "Training", {"--epochs N", "passes over ..."}...
struct HelpChapter {
  std::string title;
  std::vector<std::pair<std::string, std::string>> flags;
};
std::vector<HelpChapter> help_chapters(const Verb& verb);
std::string usage_text(const Verb& verb);         // "sigma predict [FLAGS] image..."
std::string lists_text(const Verb& verb);         // how its flags take several values; "" for one without
std::string help_text();                          // of all verbs
std::string help_text(const Verb& verb);          // of one
std::string help_text(const std::string& group);  // of one in parts: "data"

}  // namespace sigma::app
