// A verb of the command line. Each is a class in a file of its own below apps/verbs/, which registers itself:
//
//   class Hello : public Verb {
//    public:
//     Hello() : Verb("hello", "says hello") { flag("--name", name_, "to whom"); }
//     int run(const Options& options) override;
//    private:
//     std::string name_ = "world";
//   };
//   const RegisterVerb<Hello> register_hello(200);
//
// A name of two words is a part of a verb: "data fetch".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/flags/flag.h"
#include "apps/flags/options.h"

namespace sigma::app {

class Verb {
 public:
  // A flag of the table that the verb has beyond its groups, or that means something else to it.
  struct Named {
    std::string name, about;  // about "": the table's
    unsigned traits;          // more than the table's
  };
  // Words that are no flags, as the files of `predict`.
  struct Words {
    std::string name, about;
    bool required = false;
    std::vector<std::string>* several = nullptr;
    std::string* one = nullptr;
  };

  struct Example {
    std::string command, about;  // command: without the program's name
  };

  virtual ~Verb() = default;
  // Does the work and returns the exit code; errors are thrown.
  virtual int run(const Options& options) = 0;
  // What differs from the defaults of the table.
  virtual void set_defaults(Options&) const {}

  const std::string& name() const { return name_; }
  const std::string& about() const { return about_; }
  bool has_lists() const { return (groups_ & kLists) != 0; }
  const std::vector<Words>& words() const { return words_; }
  const std::vector<Example>& examples() const { return examples_; }
  const std::vector<Flag>& own_flags() const { return own_; }
  // All flags of the verb, those of the table bound to `options`.
  std::vector<Flag> flags(Options& options) const;

 protected:
  Verb(std::string name, std::string about, unsigned groups = kNone)
      : name_(std::move(name)), about_(std::move(about)), groups_(groups | kEvery) {}

  template <class T>
  void flag(std::string name, T& value, std::string about, unsigned traits = kPlain,
            std::vector<FlagCheck> checks = {}) {
    own_.push_back({std::move(name), &value, kNone, traits, std::move(about), std::move(checks)});
  }
  void use(std::string name, std::string about = "", unsigned traits = kPlain) {
    named_.push_back({std::move(name), std::move(about), traits});
  }
  void words(std::string name, std::vector<std::string>& values, std::string about, bool required) {
    words_.push_back({std::move(name), std::move(about), required, &values, nullptr});
  }
  void words(std::string name, std::string& value, std::string about) {
    words_.push_back({std::move(name), std::move(about), false, nullptr, &value});
  }

  // At the end of the verb's help.
  void example(std::string command, std::string about) {
    examples_.push_back({std::move(command), std::move(about)});
  }

 private:
  std::string name_, about_;
  unsigned groups_;
  std::vector<Flag> own_;
  std::vector<Named> named_;
  std::vector<Words> words_;
  std::vector<Example> examples_;
};

using MakeVerb = std::unique_ptr<Verb> (*)();
// `place`: where it stands in lists, the smallest first.
void register_verb(MakeVerb make, int place);
template <class T>
struct RegisterVerb {
  explicit RegisterVerb(int place) {
    register_verb([]() -> std::unique_ptr<Verb> { return std::make_unique<T>(); }, place);
  }
};

// Every verb anew, in order.
std::vector<std::unique_ptr<Verb>> all_verbs();

}  // namespace sigma::app
