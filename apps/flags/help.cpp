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
  if (lists && f.has(kList)) about += "; several, comma-separated";
  if (f.has(kRequired)) return about + " (required)";
  const std::string value = f.text();
  const bool told = about.find("default") != about.npos || f.is_switch() || value.empty();
  return told ? about : about + fmt::format(" (default: {})", value);
}

std::string flags_text(const Verb& verb) {
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
  std::string text;
  auto chapter = [&](const char* title, auto belongs) {
    std::string lines;
    for (const Flag& f : flags)
      if (belongs(f)) lines += entry(f.name + placeholder(f), about_flag(f, verb.has_lists()), 28);
    if (!lines.empty()) text += fmt::format("\n{}:\n{}", title, lines);
  };
  chapter("This verb's own", [](const Flag& f) { return f.groups == kNone; });
  unsigned seen = 0;
  for (const Chapter& c : chapters) {
    chapter(c.title, [&](const Flag& f) { return (f.groups & c.groups) != 0 && (f.groups & seen) == 0; });
    seen |= c.groups;
  }
  return text + entry("-h, --help", "print this", 28);
}

}  // namespace

std::string help_text() {
  std::string text =
      "sigma: a small deep-learning framework. Trains demo CNNs and shows what batch normalization does.\n\n"
      "Usage: sigma VERB [FLAGS]; sigma VERB --help explains one; sigma --version\n\nVerbs:\n";
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
  std::string usage = fmt::format("Usage: sigma {} [FLAGS]", verb.name()), words;
  for (const Verb::Words& w : verb.words()) {
    std::string name = w.name + (w.several ? "..." : "");
    usage += w.required ? " " + name : " [" + name + "]";
    words += entry(w.name, w.about, 28);
  }
  return fmt::format("sigma {}: {}\n\n{}\n{}{}", verb.name(), verb.about(), usage,
                     words.empty() ? "" : "\n" + words, flags_text(verb));
}

}  // namespace sigma::app
