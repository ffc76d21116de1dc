// The table of layers, which `sigma gradcheck`, networks as text and the tests walk through.
//
// A layer is one file and one line: the line is its header in layers.h; the header ends in SIGMA_LAYER, and
// the layer's own file has its examples and words. The same macro puts a layer of your own into the table of
// your program.
//
//   class Swish : public Module {
//     static std::vector<LayerExample> examples() { return {example<Swish>("beta 2", {4, 6}, 2.0)}; }
//     static std::vector<LayerWord> words();  // may be left out: how a network's text calls it
//     (layer_text.h)
//     ...
//   };
//   SIGMA_LAYER(Swish);
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "layers/layer_text.h"
#include "layers/module.h"

namespace sigma {

struct GradcheckResult;

// A layer with arguments and the shape of an input that it takes.
struct LayerExample {
  std::string what;  // "stride 2, groups 2"
  Shape input;
  std::function<ModulePtr()> make;
  bool training = true;
  std::function<GradcheckResult()> check = {};  // instead of `make`, for what is no Module: a loss
  std::string layer = {};                       // its name; the table fills it in
};

// The example Layer(arguments...).
template <class Layer, class... Arguments>
LayerExample example(std::string what, const Shape& input, Arguments... arguments) {
  return {std::move(what), input, [=]() -> ModulePtr { return std::make_shared<Layer>(arguments...); }};
}
inline LayerExample in_eval(LayerExample e) {
  e.training = false;
  return e;
}

// The word of a layer without arguments and parameters that keeps the shape.
template <class Layer>
LayerWord elementwise_word(const char* word) {
  return {word, word, "", [](const LayerText& t) { return planned<Layer>(t.in(), 0); }};
}

using LayerExamples = std::vector<LayerExample> (*)();
using LayerWords = std::vector<LayerWord> (*)();
bool register_layer(const char* name, LayerExamples examples, LayerWords words = nullptr);
// All examples, by the names of their layers in alphabetical order.
std::vector<LayerExample> registered_examples();

// The function `words` of a layer, null when it has none.
template <class Layer>
constexpr LayerWords words_of() {
  if constexpr (requires { Layer::words(); }) return &Layer::words;
  return nullptr;
}
// The words of all layers. Throws kind usage when one is of two layers.
std::map<std::string, LayerWord> registered_words();

}  // namespace sigma

// After a class with a static member function `examples`.
#define SIGMA_LAYER(Layer)                                     \
  [[maybe_unused]] inline const bool Layer##_is_in_the_table = \
      ::sigma::register_layer(#Layer, &Layer::examples, ::sigma::words_of<Layer>())
