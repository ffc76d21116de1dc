// Modules: names, state, modes, hooks, and initial values that depend on names alone.
#include "core/math.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;
using test::randn;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::shared_ptr<Sequential> small_net() {
  auto net = std::make_shared<Sequential>();
  net->add<Conv2d>("conv", 2, 3, Conv2dOptions{.padding = 1});
  net->add<BatchNorm2d>("bn", 3);
  auto tail = std::make_shared<Sequential>();
  tail->append(std::make_shared<Flatten>()).append(std::make_shared<Linear>(48, 5));
  net->append("tail", tail);
  return net;
}

}  // namespace

TEST_CASE("parameters and buffers are named by path in the order of registration", "[module]") {
  auto net = small_net();
  std::vector<std::string> names, buffers, state;
  for (auto& [name, v] : net->named_parameters()) names.push_back(name);
  for (auto& [name, v] : net->named_buffers()) buffers.push_back(name);
  for (auto& [name, t] : net->state_dict().items) state.push_back(name);
  CHECK(names == std::vector<std::string>{"conv.weight", "conv.bias", "bn.weight", "bn.bias", "tail.1.weight",
                                          "tail.1.bias"});
  CHECK(buffers == std::vector<std::string>{"bn.running_mean", "bn.running_var", "bn.num_batches_tracked"});
  CHECK(state == std::vector<std::string>{"conv.weight", "conv.bias", "bn.weight", "bn.bias",
                                          "bn.running_mean", "bn.running_var", "bn.num_batches_tracked",
                                          "tail.1.weight", "tail.1.bias"});
  CHECK(net->parameter_count() == 54 + 3 + 3 + 3 + 240 + 5);
  CHECK(net->find("tail.1")->kind() == "Linear");
  CHECK(net->find("tail.2") == nullptr);
  Sequential twice;
  twice.add<ReLU>("a");
  CHECK(contains(error_of([&] { twice.add<ReLU>("a"); }), "\"a\" is used twice"));
  CHECK_THROWS_AS(twice.add<ReLU>("a.b"), Error);
  CHECK_THROWS_AS(twice.add<ReLU>(""), Error);
  CHECK_THROWS_AS(twice.append("null", nullptr), Error);
}

TEST_CASE("loading a state that does not fit lists everything wrong and changes nothing", "[module]") {
  auto net = small_net();
  StateDict good = net->state_dict(), bad;
  for (auto& [name, t] : good.items) {
    if (name == "conv.bias" || name == "bn.running_var") continue;
    Tensor filled = Tensor::full(t.shape(), 7, t.dtype());
    if (name == "tail.1.weight") filled = filled.reshape({48, 5});
    bad.items.emplace_back(name, filled);
  }
  bad.items.emplace_back("tail.2.weight", Tensor::zeros({1}));
  std::vector<Tensor> before;
  for (auto& [name, t] : good.items) before.push_back(t.clone());
  auto unchanged = [&] {
    size_t i = 0;
    for (auto& [name, t] : net->state_dict().items)
      if (!identical(t, before[i++])) return false;
    return true;
  };
  try {
    net->load_state_dict(bad);
    FAIL("it loaded");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::checkpoint);
    for (const char* part : {"missing conv.bias", "missing bn.running_var", "unknown tail.2.weight",
                             "tail.1.weight has shape (48, 5), expected (5, 48)"})
      CHECK(contains(e.what(), part));
  }
  CHECK(unchanged());
  // Not strict: names may be missing or unknown, but shapes must still fit.
  CHECK_THROWS_AS(net->load_state_dict(bad, false), Error);
  CHECK(unchanged());
  for (auto& [name, t] : bad.items)
    if (name == "tail.1.weight") t = t.reshape({5, 48});
  net->load_state_dict(bad, false);
  CHECK(net->find("conv")->parameters()[0].value().at({0, 0, 0, 0}) == 7);
  CHECK(identical(*net->state_dict().find("conv.bias"), before[1]));
  // float64 values convert; the model keeps its own type.
  for (auto& [name, t] : good.items)
    if (is_floating(t.dtype())) t = Tensor::full(t.shape(), 0.5, DType::float64);
  net->load_state_dict(good);
  CHECK(net->state_dict().find("conv.weight")->dtype() == DType::float32);
  CHECK(net->state_dict().find("conv.weight")->at({1, 1, 1, 1}) == 0.5);
}

TEST_CASE("train and eval reach every module below", "[module]") {
  auto net = make_model("resnet20", default_input("resnet20"), true);
  auto count = [&] {
    int training = 0;
    net->visit([&](const std::string&, Module& m) { training += m.is_training(); });
    return training;
  };
  int all = count();
  CHECK(all > 60);
  net->eval();
  CHECK(count() == 0);
  net->find("layer2")->train();
  CHECK(count() > 0);
  CHECK(count() < all);
  net->train();
  CHECK(count() == all);
}

TEST_CASE("forward hooks see input and output until they are removed", "[module]") {
  auto net = small_net();
  int calls = 0, other = 0;
  Module* conv = net->find("conv");
  size_t id = conv->register_forward_hook([&](const Module& m, const Variable& in, const Variable& out) {
    CHECK(m.kind() == "Conv2d");
    CHECK(in.shape() == Shape{2, 2, 4, 4});
    CHECK(out.shape() == Shape{2, 3, 4, 4});
    ++calls;
  });
  conv->register_forward_hook([&](const Module&, const Variable&, const Variable&) { ++other; });
  Variable x(randn({2, 2, 4, 4}, 1, DType::float32));
  (*net)(x);
  (*net)(x);
  conv->remove_forward_hook(id);
  conv->remove_forward_hook(12345);
  (*net)(x);
  CHECK(calls == 2);
  CHECK(other == 3);
}

TEST_CASE("a layer is found as what it is; another class there is an error that names both", "[module]") {
  auto net = small_net();
  const Module* conv = net->find("conv");
  CHECK(layer_as<const Conv2d>(conv) == conv);
  CHECK(layer_as<const Module>(conv) == conv);
  CHECK(layer_as<const Linear>(conv) == nullptr);
  CHECK(layer_as<Linear>(net->find("nowhere")) == nullptr);
  CHECK(&layer_as<BatchNorm>(*net, "bn") == net->find("bn"));  // a base class of the BatchNorm2d there
  CHECK(layer_as<Linear>(*net, "tail.1").weight.shape() == Shape{5, 48});
  CHECK(error_of([&] { layer_as<Linear>(*net, "conv"); }) ==
        "[layer_as] expected a sigma::Linear at \"conv\", got a Conv2d");
  CHECK(error_of([&] { layer_as<Conv2d>(*net, "tail.2"); }) ==
        "[layer_as] expected a sigma::Conv2d at \"tail.2\", got no module");
}

TEST_CASE("initial weights depend on seed and name alone, not on batch norm", "[module]") {
  for (const char* name : {"mlp", "cnn", "lenet5", "sigmoid-mlp", "resnet20"}) {
    INFO(name);
    ModelInput input = default_input(name);
    ModulePtr plain = make_model(name, input, false, 7), norm = make_model(name, input, true, 7),
              other = make_model(name, input, true, 8);
    StateDict with = norm->state_dict(), different = other->state_dict();
    int compared = 0, missing = 0, same = 0, kept = 0;
    for (auto& [path, t] : plain->state_dict().items) {
      const Tensor* twin = with.find(path);
      if (!twin) {
        ++missing;
        CHECK(contains(path, ".bias"));  // residual networks drop the bias before batch norm
        continue;
      }
      ++compared;
      kept += identical(t, *twin);
      same += identical(t, *different.find(path));
    }
    CHECK(kept == compared);
    CHECK(compared >= 6);
    CHECK(same == 0);
    CHECK((missing == 0) == (std::string(name) != "resnet20"));
    // Initialising again with the seed restores the first values, running statistics included.
    (*norm)(Variable(randn(input.shape(4), 1, DType::float32)));
    for (Variable p : norm->parameters()) p.mutable_value().fill_(9);
    initialize(*norm, 7);
    bool restored = true;
    for (auto& [path, t] : make_model(name, input, true, 7)->state_dict().items)
      restored &= identical(t, *norm->state_dict().find(path));
    CHECK(restored);
  }
  // Every layer draws numbers of its own.
  ModulePtr m = make_model("resnet20", default_input("resnet20"), true);
  StateDict s = m->state_dict();
  CHECK_FALSE(identical(*s.find("layer1.0.conv1.weight"), *s.find("layer1.0.conv2.weight")));
  CHECK_FALSE(identical(*s.find("layer1.0.conv1.weight"), *s.find("layer1.1.conv1.weight")));
}
