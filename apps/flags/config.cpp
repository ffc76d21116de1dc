#include "apps/flags/config.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

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

// Hyper-parameters of other optimizers than the chosen one.
std::vector<std::string> foreign_flags(const Options& options) {
  std::vector<std::string> names;
  const auto& own = optimizer_entry(options.optimizer).hyper;
  for (const OptimizerEntry& e : optimizer_table())
    for (const HyperParameter& h : e.hyper)
      if (std::none_of(own.begin(), own.end(), [&](const HyperParameter& o) { return o.name == h.name; }))
        names.push_back("--" + h.name);
  return names;
}

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The flags of a run's files: of the table those that the verb has.
std::vector<Flag> flags_of_run(Options& options) {
  std::vector<Flag> flags = shared_flags(options);
  const std::vector<std::string> foreign = foreign_flags(options);
  std::erase_if(flags, [&](const Flag& f) {
    return is_in(foreign, f.name) || (!options.flags.empty() && !is_in(options.flags, f.name));
  });
  return flags;
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
    if (written(f)) json[f.name.substr(2)] = std::visit(ToJson{f}, f.value);
  return json;
}

std::string command_line(const Options& options) {
  std::string text = "sigma " + options.verb;
  Options copy = options;
  for (const Flag& f : flags_of_run(copy)) {
    const std::string value = f.text();
    if (!f.has(kIdentity) || value.empty() || value == "-1") continue;  // -1: not given
    if (!f.is_switch()) text += fmt::format(" {} {}", f.name, shell_word(value));
    if (f.is_switch() && value == "true") text += " " + f.name;
  }
  return text;
}

std::string differing_flags(const Json& then, const Json& now) {
  // A run of an earlier version had, of a flag that came later, what is now the default.
  Options defaults;
  const Json otherwise = flags_json(defaults);
  const std::vector<Flag> table = shared_flags(defaults);
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
      for (auto& item : value) text += (text.empty() ? "" : ",") + text_of(item);
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
