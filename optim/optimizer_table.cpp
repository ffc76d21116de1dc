#include "optim/optimizer_table.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "optim/optimizers.h"

namespace sigma {
namespace {

std::vector<OptimizerEntry>& entries() {
  static std::vector<OptimizerEntry> all;
  return all;
}

std::string known_names() {
  std::vector<std::string> names;
  for (const OptimizerEntry& e : entries()) names.push_back(e.name);
  return join(names, ", ");
}

std::string range_of(const HyperParameter& h) {
  if (h.is_switch) return "0 or 1";
  const std::string whole = h.is_whole ? "a whole number, " : "";
  if (h.below == std::numeric_limits<double>::infinity()) return fmt::format("{}at least {}", whole, h.least);
  return fmt::format("{}{} to less than {}", whole, h.least, h.below);
}

}  // namespace

OptimizerRegistration::OptimizerRegistration(OptimizerEntry entry) {
  // Sorted, since which file's registrations come first is the linker's choice.
  auto place =
      std::lower_bound(entries().begin(), entries().end(), entry.name,
                       [](const OptimizerEntry& e, const std::string& name) { return e.name < name; });
  if (place != entries().end() && place->name == entry.name)
    fail(ErrorKind::internal, "optimizer", "\"{}\" is registered twice", entry.name);
  entries().insert(place, std::move(entry));
}

const std::vector<OptimizerEntry>& optimizer_table() { return entries(); }

const OptimizerEntry& optimizer_entry(const std::string& name) {
  for (const OptimizerEntry& e : entries())
    if (e.name == name) return e;
  fail(ErrorKind::usage, "optimizer", "unknown name \"{}\", expected one of {}", name, known_names());
}

HyperValues checked_values(const std::string& name, const HyperValues& given) {
  const OptimizerEntry& entry = optimizer_entry(name);
  HyperValues values;
  for (const HyperParameter& h : entry.hyper) values[h.name] = h.initial;
  for (const auto& [key, value] : given) {
    auto h = std::find_if(entry.hyper.begin(), entry.hyper.end(),
                          [&, &wanted = key](const HyperParameter& x) { return x.name == wanted; });
    if (h == entry.hyper.end()) fail(ErrorKind::usage, "optimizer", "{} has no {}", name, key);
    bool fits = h->is_switch ? value == 0 || value == 1 : value >= h->least && value < h->below;
    if (h->is_whole) fits = fits && value == std::floor(value);
    if (!fits) fail(ErrorKind::usage, "optimizer", "{}: expected {}, got {}", key, range_of(*h), value);
    values[key] = value;
  }
  return values;
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, std::vector<ParameterGroup> groups,
                                          const HyperValues& values) {
  return optimizer_entry(name).make(std::move(groups), checked_values(name, values));
}

}  // namespace sigma
