#include "apps/flags/verb.h"

#include <algorithm>

namespace sigma::app {
namespace {

struct Registered {
  MakeVerb make;
  int place;
};
std::vector<Registered>& registry() {
  static std::vector<Registered> verbs;
  return verbs;
}

}  // namespace

void register_verb(MakeVerb make, int place) { registry().push_back({make, place}); }

std::vector<std::unique_ptr<Verb>> all_verbs() {
  std::vector<Registered> order = registry();
  std::stable_sort(order.begin(), order.end(),
                   [](const Registered& a, const Registered& b) { return a.place < b.place; });
  std::vector<std::unique_ptr<Verb>> verbs;
  for (const Registered& r : order) verbs.push_back(r.make());
  return verbs;
}

std::vector<Flag> Verb::flags(Options& options) const {
  std::vector<Flag> all;
  for (Flag& f : shared_flags(options)) {
    auto named = std::find_if(named_.begin(), named_.end(), [&](const Named& n) { return n.name == f.name; });
    const bool by_name = named != named_.end();
    if (!by_name && (f.groups & groups_) == 0) continue;
    if (by_name && !named->about.empty()) f.about = named->about;
    if (by_name) f.traits |= named->traits;
    all.push_back(std::move(f));
  }
  all.insert(all.end(), own_.begin(), own_.end());
  return all;
}

}  // namespace sigma::app
