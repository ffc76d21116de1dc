#include "training/layer_patterns.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/sha256.h"
#include "core/text.h"
#include "training/network.h"

namespace sigma {
namespace {

std::vector<std::string> nonempty_parts(const std::string& text, const char* place) {
  std::vector<std::string> parts = split(text, ',');
  for (const std::string& part : parts)
    if (part.empty())
      fail(ErrorKind::usage, place, "expected patterns with commas between, got \"{}\"", text);
  return parts;
}

// `paths` are what a pattern may choose, layers and parameters.
[[noreturn]] void refuse_pattern(const char* place, const std::string& pattern, const char* what,
                                 const std::vector<std::string>& paths) {
  const std::string near = nearest(pattern, paths);
  fail(ErrorKind::usage, place, "\"{}\" matches no {} of the network; {}", printable(pattern), what,
       near.empty() ? "it has " + join(paths, ", ") : fmt::format("did you mean {}?", near));
}

// The groups that parameters of a rate, a decay and a kind of update are in, in the order they came.
class Groups {
 public:
  ParameterGroup& group(double lr, double weight_decay, bool elementwise) {
    for (ParameterGroup& g : all_)
      if (g.lr == lr && g.weight_decay == weight_decay && g.elementwise == elementwise) return g;
    return all_.emplace_back(ParameterGroup{{}, lr, weight_decay, elementwise});
  }
  std::vector<ParameterGroup> take() { return std::move(all_); }

 private:
  std::vector<ParameterGroup> all_;
};

bool has_state(const Module& m) { return !m.own_parameters().empty() || !m.own_buffers().empty(); }

}  // namespace

std::vector<LrScale> parse_lr_scales(const std::string& text) {
  std::vector<LrScale> scales;
  if (text.empty()) return scales;
  for (const std::string& part : nonempty_parts(text, "lr-scale")) {
    const size_t equals = part.rfind('=');
    auto refuse = [&] {
      fail(ErrorKind::usage, "lr-scale", "expected PATTERN=FACTOR with a factor of at least 0, got \"{}\"",
           printable(part));
    };
    if (equals == part.npos || equals == 0) refuse();
    LrScale scale{part.substr(0, equals), 0};
    const std::string number = part.substr(equals + 1);
    size_t used = 0;
    try {
      scale.factor = std::stod(number, &used);
    } catch (const std::exception&) { refuse(); }
    if (used != number.size() || !std::isfinite(scale.factor) || scale.factor < 0) refuse();
    scales.push_back(std::move(scale));
  }
  return scales;
}

std::vector<std::string> parse_freeze(const std::string& text) {
  return text.empty() ? std::vector<std::string>{} : nonempty_parts(text, "freeze");
}

bool pattern_chooses(const std::string& pattern, const std::string& path) {
  for (size_t end = path.find('.');; end = path.find('.', end + 1)) {
    if (matches_glob(pattern, path.substr(0, end))) return true;
    if (end == path.npos) return false;
  }
}

std::vector<ParameterGroup> parameter_groups(Module& model, const OptimizerSetup& setup) {
  Groups groups;
  std::vector<bool> chosen(setup.lr_scales.size());
  std::vector<std::string> paths;
  std::set<const VariableState*> seen;
  model.visit([&](const std::string& path, Module& m) {
    if (!path.empty() && has_state(m)) paths.push_back(path);
    for (auto& [name, p] : m.own_parameters()) {
      if (!seen.insert(p.state()).second) continue;  // shared: its first name counts
      const std::string full = join_path(path, name);
      paths.push_back(full);
      double lr = setup.lr;
      for (size_t i = 0; i < chosen.size(); ++i) {
        if (!pattern_chooses(setup.lr_scales[i].pattern, full)) continue;
        chosen[i] = true;
        lr = setup.lr * setup.lr_scales[i].factor;
      }
      const bool decays = m.decays(name);
      groups.group(lr, setup.decay_all || decays ? setup.weight_decay : 0, !decays)
          .parameters.emplace_back(full, p);
    }
  });
  for (size_t i = 0; i < chosen.size(); ++i)
    if (!chosen[i]) refuse_pattern("lr-scale", setup.lr_scales[i].pattern, "parameter", paths);
  return groups.take();
}

void freeze_layers(Module& model, const std::vector<std::string>& patterns) {
  if (patterns.empty()) return;
  std::vector<std::string> paths;
  std::vector<bool> chosen(patterns.size());
  model.visit([&](const std::string& path, Module& m) {
    if (path.empty() || !has_state(m)) return;
    paths.push_back(path);
    for (size_t i = 0; i < patterns.size(); ++i) {
      if (!pattern_chooses(patterns[i], path)) continue;
      chosen[i] = true;
      m.freeze();
    }
  });
  for (size_t i = 0; i < patterns.size(); ++i)
    if (!chosen[i]) refuse_pattern("freeze", patterns[i], "layer", paths);
  const std::vector<Variable> all = model.parameters();
  if (std::none_of(all.begin(), all.end(), [](const Variable& p) { return p.requires_grad(); }))
    fail(ErrorKind::usage, "freeze", "every parameter of the network is frozen: none is left to train");
}

FrozenState frozen_state(const Module& model) {
  FrozenState state;
  Sha256 hash;
  const_cast<Module&>(model).visit([&](const std::string& path, Module& m) {
    if (!m.is_frozen() || !has_state(m)) return;
    state.layers.push_back(path);
    for (const NamedVariables* list : {&m.own_parameters(), &m.own_buffers()})
      for (auto& [name, v] : *list) {
        const Tensor t = v.value().contiguous();
        hash.update(join_path(path, name) + "\n");
        hash.update(t.raw(), t.bytes());
        state.values += t.numel();
      }
  });
  if (!state.layers.empty()) state.sha256 = hash.hex();
  return state;
}

}  // namespace sigma
