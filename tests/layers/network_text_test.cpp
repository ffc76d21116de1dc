// Networks as text: what a text means, what it is refused for, and that no text does harm.
#include "core/allocation.h"
#include "layers/layers.h"
#include "tests/support/support.h"

using namespace sigma;
using test::error_of;

namespace {

// A layer of one's own, with a word: x times a number that is learned.
class Gain : public Module {
 public:
  static std::vector<LayerExample> examples() { return {example<Gain>("2", {2, 3}, 2.0)}; }
  static std::vector<LayerWord> words() {
    return {{"gain", "gain", "START=1",
             [](const LayerText& t) { return planned<Gain>(t.in(), 1, t.number("start")); }}};
  }
  explicit Gain(double start) { gain_ = register_parameter("gain", Tensor::scalar(start, DType::float32)); }
  Variable forward(const Variable& x) override { return mul(x, gain_); }
  std::string kind() const override { return "Gain"; }

 private:
  Variable gain_;
};
SIGMA_LAYER(Gain);

const ModelInput kGrey{1, 28, 28, 10};

std::string names_of(const std::string& text, const Norm& norm = true, const ModelInput& input = kGrey) {
  std::string names;
  build_network(text, input, norm)->visit([&](const std::string& path, Module& m) {
    if (!path.empty()) names += (names.empty() ? "" : " ") + path + ":" + m.kind();
  });
  return names;
}

std::string described(const std::string& text, const std::string& path) {
  ModulePtr net = build_network(text, kGrey);
  Module* m = net->find(path);
  return m ? m->describe() : "nothing";
}

std::string refusal(const std::string& text, const ModelInput& input = kGrey) {
  return error_of([&] { build_network(text, input); });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kEnd = ", flatten, linear classes";

}  // namespace

TEST_CASE("layers are named by kind and running number, or as the text says", "[networks]") {
  CHECK(names_of("conv 4, bn, relu\nconv 4, bn, relu, maxpool 2 # pooled\nflatten, linear 8, relu, linear "
                 "classes") ==
        "conv1:Conv2d bn1:BatchNorm2d relu1:ReLU conv2:Conv2d bn2:BatchNorm2d relu2:ReLU pool:MaxPool2d "
        "flatten:Flatten fc1:Linear relu3:ReLU fc2:Linear");
  CHECK(names_of("stem: conv 4, relu, conv 4" + kEnd) ==
        "stem:Conv2d relu:ReLU conv:Conv2d flatten:Flatten fc:Linear");
  CHECK(names_of("a: { conv 4, relu }, 2 x { conv 4, silu }, { gelu }" + kEnd) ==
        "a:Sequential a.conv:Conv2d a.relu:ReLU conv1:Conv2d silu1:SiLU conv2:Conv2d silu2:SiLU 0:Sequential "
        "0.gelu:GELU flatten:Flatten fc:Linear");
  CHECK(
      names_of("conv 4, residual { conv 4 }, residual { conv 4, bn } { conv 4 1 }, residual { } down: { 0: "
               "conv 4 1 }" +
               kEnd) ==
      "conv:Conv2d 0:Residual 0.conv:Conv2d 1:Residual 1.conv:Conv2d 1.bn:BatchNorm2d 1.shortcut:Sequential "
      "1.shortcut.conv:Conv2d 2:Residual 2.down:Sequential 2.down.0:Conv2d flatten:Flatten fc:Linear");
  CHECK(names_of("let b(c, k=3) = { conv c k pad=same, relu }\nlet two(c) = { b(c), b(2*c, 5) }\n"
                 "two(4), tail: b(c=8), n: 2 x b(8, k=1)" +
                 kEnd) ==
        "conv1:Conv2d relu1:ReLU conv2:Conv2d relu2:ReLU tail:Sequential tail.conv:Conv2d tail.relu:ReLU "
        "n:Sequential n.conv1:Conv2d n.relu1:ReLU n.conv2:Conv2d n.relu2:ReLU flatten:Flatten fc:Linear");
}

TEST_CASE("arguments come by position and by name, with sizes inferred", "[networks]") {
  CHECK(described("conv 4" + kEnd, "conv") == Conv2d(1, 4, {.padding = 1}).describe());
  CHECK(described("conv 4 5" + kEnd, "conv") == Conv2d(1, 4, {.kernel = 5}).describe());
  CHECK(described("conv 4 3x5 pad=same dilation=2 bias=off" + kEnd, "conv") ==
        Conv2d(1, 4, {.kernel = {3, 5}, .padding = {2, 4}, .dilation = 2, .bias = false}).describe());
  CHECK(described("conv out=8 stride=2, conv 16/2 kernel=1 groups=4" + kEnd, "conv2") ==
        Conv2d(8, 8, {.kernel = 1, .groups = 4}).describe());
  CHECK(described("conv classes, maxpool 3 stride=2 pad=1, avgpool" + kEnd, "pool1") ==
        MaxPool2d({.kernel = 3, .stride = 2, .padding = 1}).describe());
  CHECK(described(
            "flatten, linear 2*classes+1 bias=off, bn eps=1e-3 momentum=0.2, dropout 0.25, leakyrelu, linear "
            "classes",
            "bn") == BatchNorm1d(21, {.eps = 1e-3, .momentum = 0.2}).describe());
  CHECK(described("conv 6, groupnorm 3, layernorm, upsample 2 mode=bilinear, convtranspose 5 3 stride=2 "
                  "pad=1 outpad=1"
                  ", adaptiveavgpool 3x2" +
                      kEnd,
                  "fc") == Linear(30, 10).describe());
  CHECK(
      described("conv 6, convtranspose 5 3 stride=2 pad=1 outpad=1, globalavgpool, identity, softmax" + kEnd,
                "up") == ConvTranspose2d(6, 5, {.stride = 2, .padding = 1, .output_padding = 1}).describe());
}

TEST_CASE("a text that fits some number of classes is none to refuse before that is known", "[networks]") {
  for (const char* text :
       {"classes/4 x { conv 4, relu }, flatten, linear classes", "conv classes-3, flatten, linear classes",
        "conv classes/5, flatten, linear classes"}) {
    INFO(text);
    CHECK_NOTHROW(check_network_text(text));
  }
  CHECK(contains(error_of([] { check_network_text("classes-5000 x { relu }, flatten, linear classes"); }),
                 "line 1"));
}

TEST_CASE("the norm that is chosen stands where bn is, and bias=auto follows", "[networks]") {
  const std::string text = "conv 8 bias=auto, bn, relu, flatten, linear 16, bn, linear classes bias=auto";
  CHECK(names_of(text) == names_of(text, "batch"));
  CHECK(names_of(text, "none") == "conv:Conv2d relu:ReLU flatten:Flatten fc1:Linear fc2:Linear");
  CHECK(names_of(text, "group:4") ==
        "conv:Conv2d bn1:GroupNorm relu:ReLU flatten:Flatten fc1:Linear bn2:GroupNorm fc2:Linear");
  CHECK(contains(names_of(text, "layer"), "bn1:LayerNorm"));
  for (const char* norm : {"batch", "group:4", "layer"}) {
    const StateDict state = build_network(text, kGrey, norm)->state_dict();
    CHECK(state.find("conv.bias") == nullptr);
    CHECK(state.find("fc1.bias") != nullptr);
    CHECK(state.find("fc2.bias") != nullptr);
  }
  CHECK(build_network(text, kGrey, "none")->state_dict().find("conv.bias") != nullptr);
  CHECK(contains(error_of([&] { build_network(text, kGrey, "group:3"); }),
                 "line 1, column 19: groupnorm: [group_norm] expected groups that divide 8 channels, got 3"));
  for (const char* wrong : {"", "bn", "group", "group:", "group:0", "group:8x", "group:-1", "Layer"})
    CHECK(contains(error_of([&] { (void)Norm(wrong); }), "expected batch, none, layer or group:N"));
}

TEST_CASE("a layer of one's own is a word once it is registered", "[networks]") {
  CHECK(names_of("gain, gain 3*classes, flatten, linear classes") ==
        "gain1:Gain gain2:Gain flatten:Flatten fc:Linear");
  ModulePtr net = build_network("gain 3*classes, flatten, linear classes", kGrey);
  CHECK(net->state_dict().find("gain.gain")->item() == 30);
  CHECK(contains(refusal("gains 2" + kEnd), "unknown layer \"gains\"; did you mean gain?"));
}

TEST_CASE("every word of the table is taken, and its layer keeps the shape that the word promised",
          "[networks]") {
  const std::map<std::string, std::string> given = {{"conv", "conv 4"},
                                                    {"linear", "linear 5"},
                                                    {"groupnorm", "groupnorm 1"},
                                                    {"convtranspose", "convtranspose 3"},
                                                    {"adaptiveavgpool", "adaptiveavgpool 3"}};
  for (const auto& [word, entry] : registered_words()) {
    INFO(word);
    const std::string text = given.count(word) ? given.at(word) : word;
    // A last layer follows, whose size the promised shape decides: the forward pass fails where they differ.
    ModulePtr net =
        build_network(text + (word == "flatten" ? "" : ", flatten") + ", linear classes", {2, 6, 6, 4});
    net->eval();
    NoGrad off;
    CHECK((*net)(Variable(test::randn({2, 2, 6, 6}, 1, DType::float32))).shape() == Shape{2, 4});
    CHECK(!arguments_of(entry).empty() == !entry.arguments.empty());
  }
}

TEST_CASE("what is wrong is named with line, column and what was meant", "[networks]") {
  const std::pair<const char*, const char*> cases[] = {
      {"conv 4, rleu", "network: line 1, column 9: unknown layer \"rleu\"; did you mean relu?"},
      {"conv 4\n\n  bm", "network: line 3, column 3: unknown layer \"bm\"; did you mean bn?"},
      {"conv", "line 1, column 1: conv needs its argument out: it takes the arguments OUT KERNEL=3"},
      {"conv 4 3 2", "line 1, column 10: conv takes the arguments OUT KERNEL=3"},
      {"conv 4 strid=2", "line 1, column 8: conv has no argument \"strid\""},
      {"conv 4 strid=2", "did you mean stride?"},
      {"conv 4 stride=2 stride=3", "line 1, column 24: stride of conv is given twice"},
      {"conv clases",
       "line 1, column 6: out: expected a whole number, got \"clases\"; did you mean classes?"},
      {"conv 2*clases", "line 1, column 8: unknown name \"clases\"; did you mean classes?"},
      {"conv 0", "line 1, column 6: out: expected a whole number from 1 to"},
      {"conv 1.5", "expected a whole number from 1 to"},
      {"conv 1/0", "expected a whole number from 1 to"},
      {"conv 99999999999999999999", "expected a whole number from 1 to"},
      {"conv 4 bias=maybe", "line 1, column 13: bias: expected on or off or auto, got \"maybe\""},
      {"conv 4 2 pad=same",
       "line 1, column 1: conv: [conv2d] expected an odd kernel for pad=same, got (2, 2); the "
       "shape before it is (1, 1, 28, 28)"},
      {"relu 3", "line 1, column 6: relu takes no arguments, got \"3\" too"},
      {"conv 4 }", "line 1, column 8: expected a comma or the end of the line, got \"}\""},
      {"a: { conv 4", "line 1, column 12: expected \"}\", got the end of the text"},
      {"conv 4 $", "line 1, column 8: unexpected character \"$\""},
      {"conv 4, \xc3\xa9", "line 1, column 9: unexpected character \"\xc3\xa9\""},
      {"conv 4, \xff", "line 1, column 9: unexpected character \"\\xff\""},
      {"# \xff", "line 1, column 1: the comment is no UTF-8"},
      {"a: conv 4, a: conv 4", "line 1, column 12: the name \"a\" is there twice"},
      {"a.b: conv 4", "line 1, column 1: expected a name of letters, digits and \"_\", got \"a.b\""},
      {"block(3)", "line 1, column 1: unknown piece \"block\""},
      {"let b(c) = { conv c }, b", "line 1, column 24: b needs its argument c"},
      {"let b(c) = { conv c }, b(1, 2)", "line 1, column 29: b takes 1 arguments, got \"2\" too"},
      {"let b(c) = { conv c }, b(k=2)", "line 1, column 26: b has no argument \"k\"; did you mean c?"},
      {"let b = { b(1) }", "line 1, column 11: unknown piece \"b\""},
      {"let b = { conv 3 }\nlet b = { conv 4 }", "line 2, column 5: \"b\" is there twice"},
      {"2 x { let b = { } }", "line 1, column 7: a piece is named outside of braces"},
      {"conv 4, residual { conv 4 stride=2 }",
       "line 1, column 9: residual: body and shortcut give different shapes, (1, 4, 14, 14) and (1, 4, 28, "
       "28); the "
       "shape before it is (1, 4, 28, 28)"},
      {"5 x { maxpool 2 }",
       "line 1, column 7: maxpool: [max_pool2d] a window of (2, 2) does not fit input (1, 1, 1, "
       "1); the shape before it is (1, 1, 1, 1)"},
      {"flatten, conv 3",
       "line 1, column 10: conv: [conv2d] expected input (N, C, H, W), got (1, 784); the shape "
       "before it is (1, 784)"},
      {"conv 4, linear classes",
       "line 1, column 9: expected a last layer that gives one value a class, (1, 10), got "
       "(1, 4, 28, 10); is a flatten missing?"},
      {"", "line 1, column 1: expected a last layer"},
      {"adaptiveavgpool 1x10, flatten", "expected a layer with parameters, got none"}};
  for (const auto& [text, message] : cases) {
    INFO(text);
    const std::string got = refusal(text);
    INFO(got);
    CHECK(contains(got, message));
  }
}

TEST_CASE("a text is bounded before anything is allocated", "[networks]") {
  AllocationScope limit(1 << 20);
  auto repeated = [](const std::string& part, int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += part;
    return text;
  };
  CHECK(contains(refusal(repeated("relu\n", 20000)), "expected a text of at most 65536 bytes"));
  CHECK(contains(refusal(repeated("{", 33) + repeated("}", 33)), "at most 32 braces in each other"));
  CHECK(contains(refusal(repeated("2 x ", 40) + "relu"), "at most 32 repetitions in each other"));
  CHECK(contains(refusal("1001 x relu"), "expected at most 1000 repetitions, got 1001"));
  CHECK(contains(refusal("1000 x { 1000 x { } }"), "expected at most 10000 layers"));
  CHECK(contains(refusal("1000 x { 1000 x { 1000 x relu } }"), "expected at most 10000 layers"));
  // Pieces that double, and that lie in each other.
  std::string doubling = "let a0 = { relu }\n", deep = doubling;
  for (int i = 1; i < 60; ++i) {
    doubling += fmt::format("let a{} = {{ a{}, a{} }}\n", i, i - 1, i - 1);
    deep += fmt::format("let a{} = {{ {{ {{ a{} }} }} }}\n", i, i - 1);
  }
  CHECK(contains(refusal(doubling + "a59"), "expected at most 10000 layers"));
  CHECK(contains(refusal(deep + "a59"), "expected at most 100 pieces and groups in each other"));
  CHECK(contains(refusal("linear 1000000, linear 1000000"), "expected at most 1073741824 parameters in all"));
  CHECK(contains(refusal("conv 1000000 1"), "expected at most 67108864 values of an image"));
  CHECK(contains(refusal("upsample 1000000"), "values of an image"));
  CHECK(contains(refusal("3 x { upsample 1000 }"), "values of an image"));
  CHECK(contains(refusal(repeated("a", 65)), "expected a word of at most 64 letters"));
}

TEST_CASE("a text that is printed is the same network", "[networks]") {
  std::vector<std::string> texts;
  for (const std::string& name : model_names()) texts.push_back(model_text(name));
  texts.push_back(
      "let a(c, s=1) = { conv c stride=s, bn }, x1: a(4, s=2)\n{ a(3), { relu } }, n: 3 x { gelu }, 2 x { { "
      "tanh } "
      "}, residual { a(3) } 0: { conv 3 1 }, residual { } {\n\n}, 1 x b: silu, 1 x { relu, \n tanh }" +
      kEnd);
  for (const std::string& text : texts) {
    INFO(text);
    const std::string once = canonical_text(text);
    INFO(once);
    CHECK(canonical_text(once) == once);
    CHECK(!contains(once, "#"));
    const ModelInput input{3, 32, 32, 10};
    for (bool bn : {true, false}) {
      std::string a, b;
      for (auto [names, from] : {std::pair(&a, &text), {&b, &once}})
        build_network(*from, input, bn)->visit([n = names](const std::string& path, Module& m) {
          *n += path + " " + m.describe() + "\n";
        });
      CHECK(a == b);
    }
  }
}

TEST_CASE("300 texts that are almost right are refused at a line and column or are networks", "[networks]") {
  const std::vector<std::string> words = {"conv",    "linear", "bn",      "residual", "{", "}",   "(",
                                          ")",       "x",      "let",     ":",        ",", "\n",  "=",
                                          "stride",  "-1",     "1000000", "3x",       "0", "1e9", "pad",
                                          "classes", "/0",     "same",    "\xff",     "#", "*"};
  int refused = 0, networks = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    Rng rng(1, "network mutations", i);
    auto below = [&](size_t n) { return static_cast<size_t>(rng.next_below(n)); };
    std::string text = model_text(model_names()[below(6)]);  // the deeper networks are as the sixth
    for (size_t k = 0, n = 1 + below(3); k < n; ++k) {
      const size_t at = below(text.size()), length = 1 + below(8);
      switch (below(4)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, words[below(words.size())]);
          break;
        case 2:
          text.insert(at, text.substr(below(text.size()), length));
          break;
        default:
          text[at] = static_cast<char>(below(128));
          break;
      }
      if (text.empty()) text = "x";
    }
    INFO(text);
    AllocationScope limit(64 << 20);
    try {
      ModulePtr net = build_network(text, {3, 32, 32, 10});
      ++networks;
      CHECK(net->parameter_count() > 0);
      CHECK(canonical_text(canonical_text(text)) == canonical_text(text));
    } catch (const Error& e) {
      ++refused;
      INFO(e.what());
      if (e.kind() == ErrorKind::memory) continue;  // by the limit above
      CHECK(e.kind() == ErrorKind::usage);
      CHECK(contains(e.what(), "network: line "));
      CHECK(contains(e.what(), ", column "));
    }
  }
  CHECK(refused + networks == 300);
  CHECK(refused > 150);
  CHECK(networks > 10);
}
