#include "apps/flags/flag_lists.h"

#include <algorithm>
#include <filesystem>

#include "apps/flags/options.h"
#include "core/file.h"
#include "core/text.h"
#include "layers/networks/models.h"

namespace sigma::app {
namespace {

constexpr char kOne = 0;  // no separator: a single value
const std::string kNetworkFile = ".net";

std::string trimmed(const std::string& text) {
  const char* const space = " \t\r\n";
  const size_t begin = text.find_first_not_of(space);
  return begin == text.npos ? "" : text.substr(begin, text.find_last_not_of(space) + 1 - begin);
}

bool is_network_file(const std::string& text) {
  return text.size() > kNetworkFile.size() && text.ends_with(kNetworkFile);
}

bool is_text_of_network(const std::string& text) {
  try {
    check_network_text(text);
  } catch (const Error&) { return false; }
  return true;
}

// A text holds no name of a demo network or a file, so a text with one is a list.
char separator_of_networks(const std::string& text) {
  std::error_code ignored;
  if (is_network_file(text) && std::filesystem::exists(text, ignored)) return kOne;
  if (text.find(';') != text.npos) return is_text_of_network(text) ? kOne : ';';  // in a comment
  for (const std::string& item : split(text, ','))
    if (is_model_name(trimmed(item)) || is_network_file(trimmed(item))) return ',';
  return kOne;
}

// "# a.net" of a text that network_of gave a name; else "".
std::string name_in(const std::string& text) {
  const std::string line = text.substr(0, text.find('\n'));
  return line.rfind("# ", 0) == 0 && is_network_file(line) ? line.substr(2) : "";
}

bool is_hyper_of(const OptimizerEntry& optimizer, const std::string& flag) {
  return std::any_of(optimizer.hyper.begin(), optimizer.hyper.end(),
                     [&](const HyperParameter& h) { return "--" + h.name == flag; });
}

bool whitens(const std::string& kind) { return kind == "zca" || kind == "pca"; }

// What is meant for others of the optimizers, normalizations and schedules that are compared.
void drop_what_is_for_others(const Options& all, Options& arm) {
  auto any = [&](const char* flag, auto fits) {
    const auto list = all.several.find(flag);
    return list != all.several.end() && std::any_of(list->second.begin(), list->second.end(), fits);
  };
  std::erase_if(arm.given, [&](const std::string& flag) {
    auto has_it = [&](const std::string& name) { return is_hyper_of(optimizer_entry(name), flag); };
    return !has_it(arm.optimizer) && any("--optimizer", has_it);
  });
  if (!whitens(arm.normalize) && any("--normalize", whitens)) arm.whiten_epsilon = 0;
  const std::string one_cycle = "one-cycle";  // has a warm-up of its own
  if (arm.schedule == one_cycle && any("--schedule", [&](const auto& name) { return name != one_cycle; }))
    arm.warmup = 0;
}

}  // namespace

bool is_comparable(const Flag& f) {
  const bool of_training = (f.groups & (kModel | kNormalize | kTraining)) != 0 || f.has(kCommas);
  return of_training && !f.has(kShared) && !std::holds_alternative<std::vector<double>*>(f.value);
}

std::vector<std::string> items_of(const Flag& flag, const std::string& text) {
  const char separator = flag.has(kNetwork) ? separator_of_networks(text) : flag.has(kCommas) ? ';' : ',';
  if (separator == kOne || text.find(separator) == text.npos) return {text};
  std::vector<std::string> items = split(text, separator);
  for (std::string& item : items) {
    item = trimmed(item);
    if (item.empty())
      fail(ErrorKind::usage, flag.name, "expected {} values, got \"{}\"",
           separator == ',' ? "comma-separated" : "semicolons between", text);
  }
  return items;
}

std::string joined_items(const Flag& flag, const std::vector<std::string>& items) {
  const bool texts = flag.has(kNetwork) && !std::all_of(items.begin(), items.end(), is_model_name);
  return join(items, texts || flag.has(kCommas) ? ";" : ",");
}

bool same_value(const Flag& flag, const std::string& a, const std::string& b) {
  if (a == b) return true;
  if (flag.has(kNetwork)) return canonical_text(model_text(a)) == canonical_text(model_text(b));
  const bool numeric = std::any_of(flag.checks.begin(), flag.checks.end(),
                                   [](const FlagCheck& check) { return check.number != nullptr; });
  return numeric && parse_number(flag.name, a) == parse_number(flag.name, b);
}

std::string network_of(const std::string& model, bool keep_name) {
  if (!is_network_file(model)) return model;
  const Bytes bytes = read_file(model, kMaxNetworkText);
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // the byte-order mark of some editors
  try {
    check_network_text(text);
  } catch (const Error& e) { throw e.at(model); }
  if (!keep_name) return text;
  std::string name = std::filesystem::path(model).filename().string();
  std::replace(name.begin(), name.end(), ';', '_');  // which separates networks
  std::replace(name.begin(), name.end(), '\n', '_');
  return "# " + name + "\n" + trimmed(canonical_text(text));
}

std::string network_name(const std::string& model) {
  const std::string file = name_in(model);
  return file.empty() ? model_label(model) : file.substr(0, file.size() - kNetworkFile.size());
}

std::vector<Options> arms_of(const Options& options) {
  std::vector<Options> arms{options};
  std::string product;
  size_t count = 1;
  Options table = options;
  for (const Flag& flag : shared_flags(table)) {
    if (!is_list(options, flag.name)) continue;
    const std::vector<std::string>& values = options.several.at(flag.name);
    product += fmt::format("{}{} {}", product.empty() ? "" : " x ", values.size(), flag.name);
    count *= std::min(values.size(), kMaxArms + 1);
    if (count > kMaxArms) fail(ErrorKind::usage, options.verb, "{} are more than {} arms", product, kMaxArms);
    std::vector<Options> next;
    for (const Options& arm : arms)
      for (const std::string& value : values) {
        next.push_back(arm);
        for (const Flag& f : shared_flags(next.back()))
          if (f.name == flag.name) f.set(value);
      }
    arms = std::move(next);
  }
  for (Options& arm : arms) {
    drop_what_is_for_others(options, arm);
    arm.several.clear();
    complete_optimizer(arm);
  }
  return arms;
}

}  // namespace sigma::app
