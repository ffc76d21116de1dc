// `sigma completion bash|zsh|fish`: a script that completes verbs, flags and the values that help texts list.
//
//   source <(sigma completion bash)
#include <algorithm>

#include "apps/flags/verb.h"
#include "apps/run/output.h"
#include "core/text.h"

namespace sigma::app {
namespace {

using Words = std::vector<std::string>;

std::string joined(const Words& words) { return join(words, " "); }

// The values that a help text lists: "f32|bf16: what is kept" has two.
Words values_of(const std::string& about) {
  size_t bar = about.find('|');
  if (bar == about.npos) return {};
  size_t begin = about.rfind(' ', bar) + 1;  // npos + 1 is the beginning
  return split(about.substr(begin, about.find_first_of(" :;,)", begin) - begin), '|');
}

struct Known {
  Words firsts;                                      // first words of all verbs
  std::vector<std::pair<std::string, Words>> parts;  // "data": "list", ...
  struct One {
    std::string name;
    std::vector<Flag> flags;
  };
  std::vector<One> verbs;
};

Known everything() {
  Known known;
  for (auto& v : all_verbs()) {
    const size_t space = v->name().find(' ');
    const std::string first = v->name().substr(0, space);
    if (std::find(known.firsts.begin(), known.firsts.end(), first) == known.firsts.end())
      known.firsts.push_back(first);
    if (space != first.npos) {
      if (known.parts.empty() || known.parts.back().first != first) known.parts.push_back({first, {}});
      known.parts.back().second.push_back(v->name().substr(space + 1));
    }
    Options options;
    known.verbs.push_back({v->name(), v->flags(options)});
    for (Flag& f : known.verbs.back().flags) {
      f.value = static_cast<bool*>(nullptr);  // they end with this loop
      f.several = nullptr;
    }
  }
  known.parts.push_back({"help", known.firsts});  // of any verb
  known.firsts.push_back("help");
  return known;
}

std::string bash_script(const Known& known) {
  std::string parts, flags, values;
  for (auto& [first, list] : known.parts)
    parts += fmt::format("      {}) words=\"{}\";;\n", first, joined(list));
  for (const Known::One& v : known.verbs) {
    Words names;
    for (const Flag& f : v.flags) names.push_back(f.name);
    flags += fmt::format("      \"{}\") words=\"{} --help\";;\n", v.name, joined(names));
    for (const Flag& f : v.flags)
      if (Words w = values_of(f.about); !w.empty())
        values += fmt::format("      \"{} {}\") words=\"{}\";;\n", v.name, f.name, joined(w));
  }
  std::string groups;
  for (auto& [first, list] : known.parts) groups += (groups.empty() ? "" : "|") + first;
  return fmt::format(R"(# Completion of sigma for bash: source <(sigma completion bash)
_sigma() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}} first=2 words=""
  COMPREPLY=()
  case $verb in {}) verb="$verb ${{COMP_WORDS[2]}}" first=3;; esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{} --help --version"
  elif [ "$COMP_CWORD" -lt "$first" ]; then
    case ${{COMP_WORDS[1]}} in
{}    esac
  else
    case "$verb $prev" in
{}    esac
    if [ -z "$words" ] && [ "${{cur#-}}" != "$cur" ]; then
      case $verb in
{}      esac
    fi
  fi
  [ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -o default -F _sigma sigma
)",
                     groups, joined(known.firsts), parts, values, flags);
}

std::string zsh_script(const Known& known) {
  // zsh runs what is written for bash, but for one builtin.
  std::string bash = bash_script(known);
  const std::string reads = "mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")";
  bash.replace(bash.find(reads), reads.size(), "COMPREPLY=( $(compgen -W \"$words\" -- \"$cur\") )");
  return "autoload -U +X bashcompinit && bashcompinit\n" + bash;
}

std::string fish_script(const Known& known) {
  auto quoted = [](const std::string& text) {
    std::string out = "'";
    for (char c : text) out += c == '\'' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    return out + "'";
  };
  std::string text = "# Completion of sigma for fish: sigma completion fish | source\ncomplete -c sigma -f\n";
  text += fmt::format("complete -c sigma -n __fish_use_subcommand -a {}\n", quoted(joined(known.firsts)));
  for (auto& [first, list] : known.parts)
    text += fmt::format("complete -c sigma -n '__fish_seen_subcommand_from {}' -a {}\n", first,
                        quoted(joined(list)));
  for (const Known::One& v : known.verbs) {
    std::string seen;
    for (size_t at = 0, end; at < v.name.size(); at = end + 1) {
      end = std::min(v.name.find(' ', at), v.name.size());
      seen += (seen.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + v.name.substr(at, end - at));
    }
    for (const Flag& f : v.flags) {
      const Words values = values_of(f.about);
      text += fmt::format("complete -c sigma -n '{}' -l {} -d {}{}\n", seen, f.name.substr(2),
                          quoted(f.about), values.empty() ? "" : " -x -a " + quoted(joined(values)));
    }
  }
  return text;
}

class Completion : public Verb {
 public:
  Completion() : Verb("completion", "a script that completes verbs and flags: bash|zsh|fish") {
    words("shell", shell_, "bash, zsh or fish");
  }
  int run(const Options&) override {
    const Known known = everything();
    if (shell_ == "bash")
      print(bash_script(known));
    else if (shell_ == "zsh")
      print(zsh_script(known));
    else if (shell_ == "fish")
      print(fish_script(known));
    else
      fail(ErrorKind::usage, "completion", "expected bash, zsh or fish, got \"{}\"", shell_);
    return 0;
  }

 private:
  std::string shell_;
};

const RegisterVerb<Completion> register_completion(120);

}  // namespace
}  // namespace sigma::app
