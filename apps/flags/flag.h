// A flag of the command line: its name, where its value goes, what it tells about itself and what it refuses.
// The shared ones are the lines of flags.def; a verb declares those that it alone has.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sigma::app {

struct Options;

// Groups of flags, of which a verb has some.
enum FlagGroup : unsigned {
  kNone = 0,      // only where a verb names the flag
  kData = 1,      // --data ... --skip-bad
  kModel = 2,     // --model --batch-norm --norm
  kTraining = 4,  // --epochs ... --precision
  kRun = 8,       // --out --overwrite --dry-run --config
  kResume = 16,   // --resume
  kLists = 32,    // --seeds, and several values of the flags of training
  kThreads = 64,
  kNormalize = 128,
  kSave = 256,   // --save-every
  kBatch = 512,  // --batch-size --precision
  kEvery = 1024  // --quiet --json: every verb
};

enum FlagTrait : unsigned {
  kPlain = 0,     // of this invocation alone
  kIdentity = 1,  // in config.json; a run that is resumed must have the same
  kRestored = 2,  // in config.json; a run that is resumed takes it from there, unless told otherwise
  kPath = 4,      // a path, or folder:PATH: absolute in the files of a run
  kShared = 8,    // of training, and yet the same in all arms of a comparison
  kRequired = 16,
  kNetwork = 32,  // FILE.net stands for the text in it, which a run then keeps
  kCommas = 64    // its values may hold commas: several are separated by semicolons
};

using FlagValue = std::variant<bool*, int*, int64_t*, uint64_t*, double*, std::string*, std::vector<double>*,
                               std::vector<std::string>*, std::optional<double>*, std::optional<int64_t>*>;

// Throws kind usage, naming the flag, for a value that is out of range. A number is checked by `number`, a
// text by `text`.
struct FlagCheck {
  std::function<void(const std::string& flag, double value)> number;
  std::function<void(const std::string& flag, const std::string& item)> text;
};
// "expected at least 1, got 0"; `wanted` says it in other words.
FlagCheck at_least(double least);
FlagCheck at_most(double most);
FlagCheck above(double bound, std::string wanted);
FlagCheck below(double bound, std::string wanted);
FlagCheck between(double least, double most, std::string wanted);
FlagCheck between_open(double above, double most, std::string wanted);
FlagCheck finite(std::string wanted);
FlagCheck whole_number();  // of a flag whose value is a double
FlagCheck on_or_off();
FlagCheck named(const char* one, const char* other);
FlagCheck one_of(const std::vector<std::string>& names);
// By a function that throws for a text it does not know; the message is then the flag's.
FlagCheck taken_by(std::function<void(const std::string& text)> parse);

struct Flag {
  std::string name;  // "--batch-size"
  FlagValue value;
  unsigned groups = kNone, traits = kPlain;
  std::string about;
  std::vector<FlagCheck> checks;
  // Where a verb with kLists has its values when they are several, as text() has them; the first is the
  // value. Null: there can be only one.
  std::vector<std::string>* several = nullptr;

  bool has(FlagTrait trait) const { return (traits & trait) != 0; }
  bool is_switch() const { return std::holds_alternative<bool*>(value); }
  const char* wanted() const;  // "a whole number"
  // The value now, or the several, as set() takes them; "" for an empty one.
  std::string text() const;
  // Takes over a text; with `lists` several values, of which none may be there twice, where there can be
  // several (flag_lists.h). A text that repeats the value the flag has is not checked: defaults may lie
  // outside (-1: not given).
  void set(const std::string& text, bool lists = false) const;

 private:
  void set_one(const std::string& text) const;
  std::string one_text() const;
};

// The table, its values bound to `options`.
std::vector<Flag> shared_flags(Options& options);

}  // namespace sigma::app
