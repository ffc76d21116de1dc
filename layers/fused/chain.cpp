#include "layers/fused/chain.h"

#include <utility>

#include "autograd/ops.h"
#include "layers/activations.h"
#include "layers/fused/patterns.h"

namespace sigma {
namespace {

thread_local bool fusion = true;

// The layers that run: a Sequential within the chain is a part of it, and layers folded away are passed over,
// unless they are observed.
void flatten(std::span<const Child> children, std::vector<Module*>& flat) {
  for (const Child& child : children) {
    Module& m = *child.second;
    if (m.has_forward_hooks() || (m.role() != Role::chain && m.role() != Role::identity))
      flat.push_back(&m);
    else if (m.role() == Role::chain)
      flatten(m.chain(), flat);
  }
}

// Whether the first layers of the rest of a chain are those of the pattern.
bool fits(const fused::Pattern& p, std::span<Module* const> rest, const Variable& x, bool has_skip) {
  const size_t n = p.roles.size();
  if (rest.size() < n || (p.ends && (rest.size() > n || !has_skip))) return false;
  for (size_t i = 0; i < n; ++i)
    if (rest[i]->role() != p.roles[i] || rest[i]->has_forward_hooks()) return false;
  if (!p.forward_only) return true;
  Variables inputs{x};
  for (auto& [name, v] : rest[0]->own_parameters()) inputs.push_back(v);
  return !will_record(inputs);
}

}  // namespace

void check_skip(const Variable& y, const Variable& skip) {
  SIGMA_CHECK(y.shape() == skip.shape(), "residual", "body and shortcut give different shapes, {} and {}",
              y.shape().str(), skip.shape().str());
  SIGMA_CHECK(y.dtype() == skip.dtype(), "residual", "body and shortcut give different types, {} and {}",
              name_of(y.dtype()), name_of(skip.dtype()));
}

NoFusion::NoFusion() : previous_(std::exchange(fusion, false)) {}
NoFusion::~NoFusion() { fusion = previous_; }

Variable run_chain(std::span<const Child> layers, const Variable& x, const Variable& skip) {
  std::vector<Module*> flat;
  flatten(layers, flat);
  std::span<Module* const> rest(flat);
  Variable y = x;
  while (!rest.empty()) {
    const fused::Pattern* found = nullptr;
    if (fusion)
      for (const fused::Pattern& p : fused::patterns())
        if (fits(p, rest, y, skip.defined())) {
          found = &p;
          break;
        }
    if (!found) {
      y = (*rest[0])(y);
      rest = rest.subspan(1);
      continue;
    }
    const size_t taken = found->roles.size();
    y = found->run(rest.first(taken), y, found->ends ? skip : Variable());
    if (found->ends) return y;
    rest = rest.subspan(taken);
  }
  if (!skip.defined()) return y;
  check_skip(y, skip);
  return relu(add(y, skip));
}

}  // namespace sigma
