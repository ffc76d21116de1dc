#include "apps/flags/parser.h"

#include <algorithm>

#include "apps/flags/flag_lists.h"
#include "core/text.h"

namespace sigma::app {
namespace {

using Verbs = std::vector<std::unique_ptr<Verb>>;

// "data" of "data fetch".
std::string first_word(const std::string& name) { return name.substr(0, name.find(' ')); }
std::string second_word(const std::string& name) {
  return name.find(' ') == name.npos ? "" : name.substr(name.find(' ') + 1);
}
bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h"; }

// The verbs' first words, or the second of those with this first one; none twice.
std::vector<std::string> names_of(const Verbs& verbs, const std::string& first = "") {
  std::vector<std::string> names;
  for (auto& v : verbs) {
    if (!first.empty() && first_word(v->name()) != first) continue;
    std::string name = first.empty() ? first_word(v->name()) : second_word(v->name());
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

[[noreturn]] void refuse_verb(const std::string& place, const std::string& got,
                              const std::vector<std::string>& names) {
  const std::string list = join(names, ", ");
  if (got.empty()) fail(ErrorKind::usage, place, "expected one of {}; --help explains", list);
  if (got[0] == '-') fail(ErrorKind::usage, place, "unknown flag {}", printable(got));
  fail(ErrorKind::usage, place, "unknown verb \"{}\", expected one of {}{}", printable(got), list,
       suggestion(got, names));
}

// Takes the verb off the front of the words; none when help or the version was asked for.
std::unique_ptr<Verb> take_verb(std::vector<std::string>& words, std::string& text) {
  Verbs verbs = all_verbs();
  if (!words.empty() && words[0] == "help") {
    words.erase(words.begin());
    words.push_back("--help");
  }
  auto at = [&](size_t i) { return i < words.size() ? words[i] : std::string(); };
  if (asks_for_help(at(0))) text = help_text();
  if (at(0) == "--version") text = std::string("sigma ") + SIGMA_VERSION + "\n";
  if (!text.empty()) return nullptr;
  const std::vector<std::string> firsts = names_of(verbs);
  if (std::find(firsts.begin(), firsts.end(), at(0)) == firsts.end()) refuse_verb("sigma", at(0), firsts);
  for (auto& v : verbs) {
    const bool parts = !second_word(v->name()).empty();
    if (v->name() != (parts ? at(0) + " " + at(1) : at(0))) continue;
    words.erase(words.begin(), words.begin() + (parts ? 2 : 1));
    return std::move(v);
  }
  if (asks_for_help(at(1))) {
    text = help_text(at(0));
    return nullptr;
  }
  refuse_verb(at(0), at(1), names_of(verbs, at(0)));
}

[[noreturn]] void refuse_flag(const Verb& verb, const std::string& word, const std::vector<Flag>& flags) {
  std::vector<std::string> names;
  for (const Flag& f : flags) names.push_back(f.name.substr(2));
  const std::string near = nearest(word.substr(std::min(word.size(), word.find_first_not_of('-'))), names);
  fail(ErrorKind::usage, verb.name(), "unknown flag {}; {}", printable(word),
       near.empty() ? fmt::format("`sigma help {}` lists them", verb.name())
                    : fmt::format("did you mean --{}?", near));
}

// Splits words into flags with their texts and the rest.
struct Split {
  Settings settings;
  std::vector<std::string> words;
  bool help = false;
};
Split split(const std::vector<std::string>& words, const Verb& verb, const std::vector<Flag>& flags) {
  Split s;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      s.words.insert(s.words.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (asks_for_help(word)) s.help = true;
    if (asks_for_help(word)) continue;
    if (word.size() < 2 || word[0] != '-') {
      s.words.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    auto flag = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; });
    if (flag == flags.end()) refuse_flag(verb, name, flags);
    if (equals != word.npos) {
      s.settings.emplace_back(name, word.substr(equals + 1));
    } else if (flag->is_switch()) {
      s.settings.emplace_back(name, "true");
    } else {
      const bool missing = i + 1 == words.size();
      const bool another = !missing && words[i + 1].rfind("--", 0) == 0;
      if (missing || another)
        fail(ErrorKind::usage, name, "expected {}, got {}", flag->wanted(),
             missing ? "none" : "\"" + printable(words[i + 1]) + "\"");
      s.settings.emplace_back(name, words[++i]);
      if (!std::holds_alternative<std::vector<std::string>*>(flag->value)) continue;
      // Several values may follow: --checkpoint A B.
      while (i + 1 < words.size() && (words[i + 1].empty() || words[i + 1][0] != '-'))
        s.settings.emplace_back(name, words[++i]);
    }
  }
  return s;
}

void take_words(const Verb& verb, const std::vector<std::string>& words) {
  size_t next = 0;
  for (const Verb::Words& w : verb.words()) {
    if (next == words.size() && w.required)
      fail(ErrorKind::usage, verb.name(), "expected {}: {}", w.name, w.about);
    if (w.several) *w.several = {words.begin() + static_cast<std::ptrdiff_t>(next), words.end()};
    if (w.several) next = words.size();
    if (w.one && next < words.size()) *w.one = words[next++];
  }
  if (next < words.size())
    fail(ErrorKind::usage, verb.name(), "unexpected argument \"{}\"", printable(words[next]));
}

void take_settings(Call& call, const Settings& settings) {
  Options& o = *call.options;
  for (const Flag& f : call.flags) {
    bool given = false;
    const bool all_count = std::holds_alternative<std::vector<std::string>*>(f.value);
    const std::string* last = nullptr;
    for (auto& [name, text] : settings) {
      if (name != f.name) continue;
      given = true;
      last = &text;
      if (all_count) f.set(text);
    }
    if (!given && f.has(kRequired))
      fail(ErrorKind::usage, call.verb->name(), "{} is required: {}", f.name, f.about);
    if (!given) continue;
    if (!all_count) f.set(*last, call.verb->has_lists());
    o.given.push_back(f.name);
  }
}

// The files of a run hold absolute paths, so that it can be resumed from anywhere.
void make_paths_absolute(const Call& call) {
  const auto& names = call.options->flags;
  if (std::find(names.begin(), names.end(), "--resume") == names.end()) return;
  for (const Flag& f : call.flags)
    if (auto text = std::get_if<std::string*>(&f.value); text && (f.has(kIdentity) || f.has(kRestored)))
      **text = absolute_path(f, **text);
}

}  // namespace

Call parse_command_line(const std::vector<std::string>& arguments, const Settings& beneath) {
  Call call;
  std::vector<std::string> words = arguments;
  std::unique_ptr<Verb> verb = take_verb(words, call.text);
  if (!verb) return call;
  call.options = std::make_unique<Options>();
  call.options->verb = verb->name();
  verb->set_defaults(*call.options);
  call.flags = verb->flags(*call.options);
  for (const Flag& f : call.flags) call.options->flags.push_back(f.name);
  Split given = split(words, *verb, call.flags);
  if (given.help) {
    call.text = help_text(*verb);
    return call;
  }
  call.verb = std::move(verb);
  Settings settings = beneath;
  settings.insert(settings.end(), given.settings.begin(), given.settings.end());
  take_settings(call, settings);
  take_words(*call.verb, given.words);
  make_paths_absolute(call);
  // Where optimizers are compared, each arm has its own defaults.
  if (!is_list(*call.options, "--optimizer")) complete_optimizer(*call.options);
  for (const Options& arm : arms_of(*call.options)) check_together(arm);
  return call;
}

void check_together(const Options& o) {
  auto refuse = [](const char* flag, const char* why) { fail(ErrorKind::usage, flag, "{}", why); };
  if (o.resume && o.overwrite) refuse("--resume", "cannot be combined with --overwrite");
  const HyperValues hyper = hyper_values(o);
  if (is_given(o, "--nesterov") && hyper.at("nesterov") != 0 && !(hyper.at("momentum") > 0))
    refuse("--nesterov", "needs a --momentum above 0");
  if (o.warmup > 0 && o.schedule == "one-cycle") refuse("--warmup", "one-cycle has a warm-up of its own");
  if (!o.checkpoint.empty()) return;  // its normalization holds
  const bool whitens = o.normalize == "zca" || o.normalize == "pca";
  if (whitens && (!o.mean.empty() || !o.std.empty()))
    refuse(o.mean.empty() ? "--std" : "--mean", "zca and pca have a mean and deviations of their own");
  if (!whitens && o.whiten_epsilon > 0) refuse("--whiten-epsilon", "is for --normalize zca and pca");
}

}  // namespace sigma::app
