// `sigma man`: the manual page, in the language of man(7), from the verbs and the table of flags.
#include "apps/flags/parser.h"
#include "apps/run/output.h"

namespace sigma::app {
namespace {

// Text as it is: a backslash, a hyphen that is to be copied, and a dot or quote that begins a line mean
// something to roff.
std::string literal(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out += std::string("\\&") + c;
    else
      out += c;
  }
  return out;
}

std::string entry(const std::string& name, const std::string& about) {
  return ".TP\n.B " + literal(name) + "\n" + literal(about) + "\n";
}

std::string section(const Verb& verb) {
  std::string text = ".SS " + literal(usage_text(verb)) + "\n" + literal(verb.about()) + ".\n";
  if (verb.has_lists()) text += ".PP\n" + literal(lists_text(verb)) + "\n";
  for (const Verb::Words& w : verb.words()) text += entry(w.name, w.about);
  for (const HelpChapter& c : help_chapters(verb)) {
    text += ".PP\n.I " + literal(c.title) + "\n";
    for (const auto& [name, about] : c.flags) text += entry(name, about);
  }
  for (const Verb::Example& e : verb.examples())
    text += ".PP\nExample: " + literal(e.about) + "\n.PP\n.nf\n.RS\n" + literal("sigma " + e.command) +
            "\n.RE\n.fi\n";
  return text;
}

class Man : public Verb {
 public:
  Man() : Verb("man", "the manual page: sigma man | man -l -") {}
  int run(const Options&) override {
    std::string text = fmt::format(
        ".TH SIGMA 1 \"\" \"sigma {}\" \"User Commands\"\n"
        ".SH NAME\nsigma \\- trains convolutional networks and shows what batch normalization does\n"
        ".SH SYNOPSIS\n.B sigma\n.I VERB\n[FLAGS]\n.SH VERBS\n",
        SIGMA_VERSION);
    for (const auto& verb : all_verbs()) text += section(*verb);
    text +=
        ".SH EXIT STATUS\n0 done, 1 internal error, 2 usage, 3 bad input data, 4 input or output, 5 training "
        "diverged, 6 checkpoint unusable, 7 out of memory, 130 and 143 stopped by a signal after saving.\n";
    print(text.substr(0, text.size() - 1));
    return 0;
  }
};

const RegisterVerb<Man> register_man(121);

}  // namespace
}  // namespace sigma::app
