// Help texts.
#include <algorithm>

#include "apps/flags/parser.h"

namespace sigma::app {
namespace {

constexpr size_t kWidth = 100;

// `text` from column `at` on, broken at spaces.
std::string wrapped(const std::string& text, size_t at) {
  std::string out;
  size_t column = at;
  for (size_t i = 0; i < text.size();) {
    size_t end = std::min(text.find(' ', i), text.size());
    if (column + (end - i) > kWidth && column > at) {
      out.pop_back();
      out += "\n" + std::string(at, ' ');
      column = at;
    }
    out += text.substr(i, end - i) + (end < text.size() ? " " : "");
    column += end - i + 1;
    i = end + 1;
  }
  return out;
}

// A name and what it is, in two columns.
std::string entry(const std::string& name, const std::string& about, size_t column) {
  std::string line = "  " + name;
  line += line.size() + 2 > column ? "\n" + std::string(column, ' ') : std::string(column - line.size(), ' ');
  return line + wrapped(about, column) + "\n";
}

std::string placeholder(const Flag& f) {
  if (f.is_switch()) return "";
  struct {
    const char* operator()(const std::string*) const { return " TEXT"; }
    const char* operator()(const std::vector<std::string>*) const { return " TEXT"; }
    const char* operator()(const std::vector<double>*) const { return " X,..."; }
    const char* operator()(const double*) const { return " X"; }
    const char* operator()(const std::optional<double>*) const { return " X"; }
    const char* operator()(const void*) const { return " N"; }
  } name;
  return f.has(kPath) && f.name != "--data" ? " PATH" : std::visit(name, f.value);
}

std::string about_flag(const Flag& f, bool lists) {
  std::string about = f.about;
  if (lists && f.several && f.has(kCommas)) about += "; several are separated by semicolons";
  if (lists && f.several && f.has(kNetwork))
    about += "; several are separated by commas, or by semicolons where one is a text";
  if (f.has(kRequired)) return about + " (required)";
  const std::string value = f.text();
  const bool told = about.find("default") != about.npos || f.is_switch() || value.empty();
  return told ? about : about + fmt::format(" (default: {})", value);
}

}  // namespace

std::vector<HelpChapter> help_chapters(const Verb& verb) {
  struct Chapter {
    const char* title;
    unsigned groups;
  };
  const Chapter chapters[] = {{"Data", kData | kNormalize},
                              {"Network", kModel},
                              {"Training", kTraining | kLists | kBatch},
                              {"Run", kRun | kResume | kSave | kThreads | kEvery}};
  Options options;
  verb.set_defaults(options);
  const std::vector<Flag> flags = verb.flags(options);
  std::vector<HelpChapter> all;
  auto chapter = [&](const char* title, auto belongs) {
    HelpChapter c{title, {}};
    for (const Flag& f : flags)
      if (belongs(f)) c.flags.emplace_back(f.name + placeholder(f), about_flag(f, verb.has_lists()));
    if (!c.flags.empty()) all.push_back(std::move(c));
  };
  chapter("This verb's own", [](const Flag& f) { return f.groups == kNone; });
  unsigned seen = 0;
  for (const Chapter& c : chapters) {
    chapter(c.title, [&](const Flag& f) { return (f.groups & c.groups) != 0 && (f.groups & seen) == 0; });
    seen |= c.groups;
  }
  return all;
}

std::string lists_text(const Verb& verb) {
  if (!verb.has_lists()) return "";
  Options options;
  std::string single;
  for (const Flag& f : verb.flags(options))
    if (f.has(kShared)) single += (single.empty() ? "" : ", ") + f.name;
  return "All flags of normalization, network and training take several values, comma-separated, and every "
         "combination is an arm: --optimizer sgd,adamw --batch-size 4,16,64. Networks are listed by name or "
         "file, --model lenet5,a.net; values that may hold commas themselves are separated by semicolons. "
         "What does not apply to an arm, such as --momentum to Adam, is for the others. The same for all "
         "arms are " +
         single + ".";
}

std::string usage_text(const Verb& verb) {
  std::string usage = fmt::format("sigma {} [FLAGS]", verb.name());
  for (const Verb::Words& w : verb.words()) {
    const std::string name = w.name + (w.several ? "..." : "");
    usage += w.required ? " " + name : " [" + name + "]";
  }
  return usage;
}

std::string help_text() {
  std::string text =
      "sigma: a small deep-learning framework. Trains demo CNNs and shows what batch normalization does.\n\n"
      "Usage: sigma VERB [FLAGS]; sigma help VERB, as sigma VERB --help, explains one; sigma "
      "--version\n\nVerbs:\n";
  for (auto& v : all_verbs()) text += entry(v->name(), v->about(), 17);
  return text;
}

std::string help_text(const std::string& group) {
  std::string text =
      fmt::format("Usage: sigma {} PART [FLAGS]; sigma {} PART --help explains one\n\n", group, group);
  for (auto& v : all_verbs())
    if (v->name().rfind(group + " ", 0) == 0) text += entry(v->name(), v->about(), 17);
  return text;
}

std::string help_text(const Verb& verb) {
  std::string text = fmt::format("sigma {}: {}\n\nUsage: {}\n", verb.name(), verb.about(), usage_text(verb));
  if (verb.has_lists()) text += "\n" + wrapped(lists_text(verb), 0) + "\n";
  if (!verb.words().empty()) text += "\n";
  for (const Verb::Words& w : verb.words()) text += entry(w.name, w.about, 28);
  for (const HelpChapter& c : help_chapters(verb)) {
    text += fmt::format("\n{}:\n", c.title);
    for (const auto& [name, about] : c.flags) text += entry(name, about, 28);
  }
  text += entry("-h, --help", "print this", 28);
  if (!verb.examples().empty()) text += "\nExamples:\n";
  for (const Verb::Example& e : verb.examples())
    text += fmt::format("  sigma {}\n      {}\n", e.command, wrapped(e.about, 6));
  return text;
}

}  // namespace sigma::app
