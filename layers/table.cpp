#include "layers/table.h"

#include <map>

namespace sigma {
namespace {

struct Entry {
  LayerExamples examples;
  LayerWords words;
};

std::map<std::string, Entry>& table() {
  static std::map<std::string, Entry> all;
  return all;
}

}  // namespace

bool register_layer(const char* name, LayerExamples examples, LayerWords words) {
  return table().emplace(name, Entry{examples, words}).second;
}

std::vector<LayerExample> registered_examples() {
  std::vector<LayerExample> all;
  for (auto& [name, entry] : table())
    for (LayerExample& e : entry.examples()) {
      e.layer = name;
      all.push_back(std::move(e));
    }
  return all;
}

std::map<std::string, LayerWord> registered_words() {
  std::map<std::string, LayerWord> all;
  for (auto& [name, entry] : table()) {
    if (!entry.words) continue;
    for (LayerWord& word : entry.words())
      if (!all.emplace(word.word, word).second)
        fail(ErrorKind::usage, "layers", "the word \"{}\" of {} is another layer's", word.word, name);
  }
  return all;
}

}  // namespace sigma
