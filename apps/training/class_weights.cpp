#include "training/class_weights.h"

#include <cmath>

#include "core/text.h"

namespace sigma {
namespace {

const char* const kPlace = "class-weights";

std::vector<double> balanced(const Dataset& d) {
  std::vector<int64_t> counts(d.class_names.size());
  for (int64_t i = 0; i < d.train.size(); ++i)
    ++counts.at(static_cast<size_t>(d.train.labels.data<int64_t>()[i]));
  std::vector<double> weights;
  for (int64_t n : counts)
    weights.push_back(n == 0 ? 1
                             : static_cast<double>(d.train.size()) /
                                   (static_cast<double>(d.classes()) * static_cast<double>(n)));
  return weights;
}

double number_of(const std::string& text, const std::string& of) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) { used = 0; }
  if (used == 0 || used != text.size() || !std::isfinite(value) || value <= 0)
    fail(ErrorKind::usage, kPlace, "expected a weight above 0 for {}, got \"{}\"", of, text);
  return value;
}

}  // namespace

std::vector<double> class_weights(const std::string& text, const Dataset& d) {
  if (text == "none") return {};
  if (text == "balanced") return balanced(d);
  std::vector<double> weights(d.class_names.size(), 1);
  std::vector<bool> seen(weights.size());
  std::string item;
  bool whole = true;
  for (const std::string& part : split(text, ',')) {
    item += (item.empty() ? "" : ",") + part;
    const size_t equal = item.rfind('=');
    whole = equal != item.npos;
    if (!whole) continue;  // names may hold commas
    const std::string name = item.substr(0, equal);
    size_t c = 0;
    while (c < weights.size() && d.class_names[c] != name) ++c;
    if (c == weights.size())
      fail(ErrorKind::usage, kPlace, "no class is called \"{}\", expected some of {}", name,
           join(d.class_names, ", "));
    if (seen[c]) fail(ErrorKind::usage, kPlace, "\"{}\" has two weights", name);
    seen[c] = true;
    weights[c] = number_of(item.substr(equal + 1), name);
    item.clear();
  }
  if (!whole)
    fail(ErrorKind::usage, kPlace,
         "expected none, balanced, or a weight of some classes such as {}=2, got \"{}\"",
         d.class_names.empty() ? "name" : d.class_names[0], text);
  return weights;
}

}  // namespace sigma
