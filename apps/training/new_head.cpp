#include "training/new_head.h"

#include "layers/affine.h"

namespace sigma {

std::string head_of(Module& model) {
  std::string head;
  model.visit([&](const std::string& path, Module& m) {
    if (m.affine()) head = path;
  });
  return head;
}

std::string replace_head(TrainSetup& setup, const Module& trained) {
  TrainSetup fresh = setup;
  fresh.weights = nullptr;
  fresh.factors.clear();
  const std::string head = head_of(*make_network(fresh));
  if (head.empty()) fail(ErrorKind::usage, "head", "{} has no layer with weights", model_label(setup.model));
  fresh.factors = setup.factors;
  std::erase_if(fresh.factors, [&](const Factor& f) { return f.path == head; });
  auto state = std::make_shared<StateDict>(make_network(fresh)->state_dict());
  const StateDict old = trained.state_dict();
  for (auto& [name, value] : state->items) {
    if (name.rfind(head + ".", 0) == 0) continue;
    const Tensor* t = old.find(name);
    if (!t || t->shape() != value.shape())
      fail(ErrorKind::usage, "head",
           "{} of the trained network is {}, expected {}: more than {} is of other sizes", name,
           t ? t->shape().str() : "missing", value.shape().str(), head);
    value = *t;
  }
  setup.factors = fresh.factors;
  setup.weights = std::move(state);
  return head;
}

}  // namespace sigma
