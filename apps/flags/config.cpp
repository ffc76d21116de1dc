#include "apps/flags/config.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "apps/flags/verb.h"
#include "core/text.h"
#include "data/dataset.h"

namespace sigma::app {
namespace {

struct ToJson {
  const Flag& flag;
  Json operator()(const std::string* v) const { return absolute_path(flag, *v); }
  Json operator()(const std::vector<std::string>* v) const {
    Json list = Json::array();
    for (const std::string& item : *v) list.push_back(absolute_path(flag, item));
    return list;
  }
  template <class T>
  Json operator()(const std::optional<T>* v) const {
    return **v;
  }
  template <class T>
  Json operator()(const T* v) const {
    return *v;
  }
};

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> hyper_flags(const std::string& optimizer) {
  std::vector<std::string> names;
  for (const HyperParameter& h : optimizer_entry(optimizer).hyper) names.push_back("--" + h.name);
  return names;
}

// Hyper-parameters of other optimizers than the chosen ones.
std::vector<std::string> foreign_flags(const Options& options) {
  const std::vector<std::string> chosen =
      is_list(options, "--optimizer") ? options.several.at("--optimizer") : std::vector{options.optimizer};
  std::vector<std::string> names;
  for (const OptimizerEntry& e : optimizer_table())
    for (const std::string& name : hyper_flags(e.name))
      if (std::none_of(chosen.begin(), chosen.end(),
                       [&](const std::string& own) { return is_in(hyper_flags(own), name); }))
        names.push_back(name);
  return names;
}

// What complete_optimizer fills in.
bool follows_optimizer(const std::string& flag) {
  if (is_in({"--lr", "--weight-decay", "--decay"}, flag)) return true;
  const auto& all = optimizer_table();
  return std::any_of(all.begin(), all.end(),
                     [&](const OptimizerEntry& e) { return is_in(hyper_flags(e.name), flag); });
}

// The flags of a run's files: of the table those that the verb has. Where optimizers are compared, each has
// its own values of what is not given.
std::vector<Flag> flags_of_run(Options& options) {
  std::vector<Flag> flags = shared_flags(options);
  const std::vector<std::string> foreign = foreign_flags(options);
  const bool optimizers = is_list(options, "--optimizer");
  std::erase_if(flags, [&](const Flag& f) {
    return is_in(foreign, f.name) || (!options.flags.empty() && !is_in(options.flags, f.name)) ||
           (optimizers && follows_optimizer(f.name) && !is_given(options, f.name));
  });
  return flags;
}

Json json_of(const Flag& f) {
  const bool many = f.several && f.several->size() > 1;
  return many ? Json(f.text()) : std::visit(ToJson{f}, f.value);
}

bool written(const Flag& f) {
  bool list = std::holds_alternative<std::vector<double>*>(f.value);
  return (f.has(kIdentity) || f.has(kRestored)) && (list || !f.text().empty());
}

// As a shell takes it for one word.
std::string shell_word(const std::string& text) {
  if (text.find_first_of(" \t\n'\"\\$`*?{}()<>|&;#~") == text.npos) return text;
  std::string quoted = "'";
  for (char c : text)
    if (c == '\'')
      quoted += "'\\''";
    else
      quoted += c;
  return quoted + "'";
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

}  // namespace

std::string absolute_path(const Flag& flag, const std::string& text) {
  if (!flag.has(kPath) || text.empty()) return text;
  if (flag.name == "--data") return absolute_data_name(text);
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(text, error);
  return error ? text : path.lexically_normal().string();
}

Json flags_json(const Options& options, const std::vector<Flag>& own) {
  Options copy = options;
  std::vector<Flag> flags = flags_of_run(copy);
  flags.insert(flags.end(), own.begin(), own.end());
  Json json = Json::object();
  for (const Flag& f : flags)
    if (written(f)) json[f.name.substr(2)] = json_of(f);
  return json;
}

Settings changed_flags(const Options& options) {
  Options copy = options, defaults;
  for (const auto& verb : all_verbs())
    if (verb->name() == options.verb) verb->set_defaults(defaults);
  defaults.verb = options.verb;
  defaults.flags = options.flags;
  const std::string optimizer = std::exchange(defaults.optimizer, options.optimizer);
  complete_optimizer(defaults);
  std::map<std::string, std::string> usual;
  for (const Flag& f : flags_of_run(defaults)) usual[f.name] = f.text();
  usual["--optimizer"] = optimizer;
  Settings changed;
  for (const Flag& f : flags_of_run(copy)) {
    const std::string value = f.text();
    const auto other = usual.find(f.name);
    const bool same = other != usual.end() && other->second == value;
    if (written(f) && !same && !value.empty() && value != "-1")
      changed.emplace_back(f.name, value);  // -1: not given
  }
  return changed;
}

std::string command_line(const Options& options) {
  Options copy = options;
  const std::vector<Flag> flags = shared_flags(copy);
  std::string text = "sigma " + options.verb;
  for (const auto& changed : changed_flags(options)) {
    const auto& [name, value] = changed;
    const auto flag =
        std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == changed.first; });
    if (!flag->is_switch())
      text += fmt::format(" {} {}", name, shell_word(value));
    else
      text += value == "true" ? " " + name : fmt::format(" {}={}", name, value);
  }
  return text;
}

std::string differing_flags(const Json& then, const Json& now) {
  // A run of an earlier version had, of a flag that came later, what is now the default.
  Options defaults;
  Json otherwise = flags_json(defaults);
  const std::vector<Flag> table = shared_flags(defaults);
  if (text_of(then.value("optimizer", Json(""))).find(',') != std::string::npos)
    for (const Flag& f : table)
      if (follows_optimizer(f.name)) otherwise.erase(f.name.substr(2));
  auto value = [&](const Json& j, const std::string& key, const Flag* f) {
    Json v = j.contains(key) ? j.at(key) : otherwise.contains(key) ? otherwise.at(key) : Json();
    // Earlier versions wrote paths as they were given.
    return f && v.is_string() ? Json(absolute_path(*f, v.get<std::string>())) : v;
  };
  std::string text;
  Json keys = then;
  keys.update(now);
  for (auto& [key, unused] : keys.items()) {
    const std::string name = "--" + key;
    auto f = std::find_if(table.begin(), table.end(), [&](const Flag& t) { return t.name == name; });
    const Flag* flag = f == table.end() ? nullptr : &*f;
    if (flag && flag->has(kRestored)) continue;
    Json a = value(then, key, flag), b = value(now, key, flag);
    if (a != b) text += fmt::format("; {} was {}, now {}", name, a.dump(), b.dump());
  }
  return text;
}

Settings read_settings(const std::string& path, const std::vector<Flag>& known) {
  const Json json = read_json_file(path, ErrorKind::usage, 1 << 20);
  if (!json.is_object()) fail(ErrorKind::usage, path, "expected a JSON object of flags");
  std::vector<std::string> keys;
  auto separator = [&](const std::string& key) {
    auto f = std::find_if(known.begin(), known.end(), [&](const Flag& k) { return k.name == "--" + key; });
    return f->has(kCommas) || f->has(kNetwork) ? ";" : ",";
  };
  for (const Flag& f : known)
    if (f.name != "--config") keys.push_back(f.name.substr(2));  // a flag of the command line alone
  Settings settings;
  for (auto& [key, value] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      std::string near = key == "config" ? "" : nearest(key, keys);
      fail(ErrorKind::usage, path, "unknown key \"{}\"{}", printable(key),
           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near));
    }
    std::string text;
    if (value.is_array()) {
      for (auto& item : value) text += (text.empty() ? "" : separator(key)) + text_of(item);
      if (value.empty()) continue;
    } else if (value.is_string() || value.is_boolean() || value.is_number()) {
      text = text_of(value);
    } else {
      fail(ErrorKind::usage, path,
           "the value of \"{}\" is neither a text, a number, a list nor true or false", key);
    }
    settings.emplace_back("--" + key, text);
  }
  return settings;
}

}  // namespace sigma::app
