#include "layers/networks/network_text.h"

#include <charconv>

#include "layers/layers.h"
#include "layers/networks/expand.h"

namespace sigma {
namespace {

using networks::Part;

constexpr double kMaxParameters = 1 << 30;                // 4 GB
constexpr double kMaxValues = 1 << 26, kMaxGrowth = 256;  // of a layer's output, for one image
constexpr int64_t kMaxGroups = 1 << 20;

// The shapes of a network, layer by layer.
class Planner {
 public:
  explicit Planner(const Shape& images)
      : most_values_(std::max(kMaxValues, kMaxGrowth * static_cast<double>(images.numel()))) {}
  Shape run(std::vector<Part>& nodes, Shape shape) {
    for (Part& n : nodes) shape = run(n, shape);
    return shape;
  }
  double parameters() const { return parameters_; }

 private:
  Shape run(Part& n, const Shape& in) {
    if (n.kind == Part::Kind::layer) return layer(n, in);
    const Shape out = run(n.body, in);
    if (n.kind == Part::Kind::group) return out;
    const Shape other = run(n.shortcut, in);
    if (out != other)
      throw TextError(n.at,
                      fmt::format("residual: body and shortcut give different shapes, {} and {}; the shape "
                                  "before it is {}",
                                  out.str(), other.str(), in.str()));
    return out;
  }

  Shape layer(Part& n, const Shape& in) {
    try {
      n.plan = n.word->plan(LayerText(in, n.values, n.norm_follows, networks::Expander::known_names()));
    } catch (const TextError&) { throw; } catch (const Error& e) {
      throw TextError(n.at,
                      fmt::format("{}: {}; the shape before it is {}", n.word->word, e.what(), in.str()));
    }
    double values = 1;
    for (int64_t d : n.plan.out) values *= static_cast<double>(d);
    parameters_ += n.plan.parameters;
    if (!(values <= most_values_))
      throw TextError(n.at,
                      fmt::format("{}: expected at most {} values of an image, got {}; the shape before it "
                                  "is {}",
                                  n.word->word, most_values_, n.plan.out.str(), in.str()));
    if (!(parameters_ <= kMaxParameters))
      throw Error(
          ErrorKind::memory,
          TextError(n.at, fmt::format("{}: expected at most {} parameters in all, got {}; the shape before "
                                      "it is {}",
                                      n.word->word, kMaxParameters, parameters_, in.str()))
              .what());
    return n.plan.out;
  }

  double most_values_, parameters_ = 0;
};

ModulePtr made(const Part& n);

std::vector<Child> made(const std::vector<Part>& nodes) {
  std::vector<Child> children;
  for (const Part& n : nodes) children.emplace_back(n.name, made(n));
  return children;
}

ModulePtr sequential(const std::vector<Part>& nodes) {
  auto net = std::make_shared<Sequential>();
  for (const auto& [name, layer] : made(nodes)) net->append(name, layer);
  return net;
}

ModulePtr made(const Part& n) {
  try {
    if (n.kind == Part::Kind::layer) return n.plan.make();
    if (n.kind == Part::Kind::group) return sequential(n.body);
    std::optional<Child> shortcut;
    if (!n.shortcut_name.empty()) shortcut.emplace(n.shortcut_name, sequential(n.shortcut));
    return std::make_shared<Residual>(made(n.body), shortcut);
  } catch (const TextError&) { throw; } catch (const Error& e) {
    if (e.kind() != ErrorKind::usage) throw;
    throw TextError(n.at, fmt::format("{}: {}", n.word ? n.word->word : "residual", e.what()));
  }
}

TextPlace end_of(const std::string& text) {
  TextPlace at;
  for (char c : text) at = c == '\n' ? TextPlace{at.line + 1, 1} : TextPlace{at.line, at.column + 1};
  return at;
}

}  // namespace

Norm::Norm(std::string kind) : kind_(std::move(kind)) {
  if (kind_ == "batch" || kind_ == "none" || kind_ == "layer") return;
  const std::string prefix = "group:";
  const char* end = kind_.data() + kind_.size();
  if (kind_.rfind(prefix, 0) == 0) {
    auto [stop, error] = std::from_chars(kind_.data() + prefix.size(), end, groups_);
    if (error == std::errc() && stop == end && groups_ >= 1 && groups_ <= kMaxGroups) return;
  }
  fail(ErrorKind::usage, "norm", "expected batch, none, layer or group:N, as in group:8, got \"{}\"", kind_);
}

std::optional<std::string> Norm::word() const {
  if (kind_ == "none") return {};
  return kind_ == "batch" ? "bn" : kind_ == "layer" ? "layernorm" : "groupnorm";
}

ModulePtr build_network(const std::string& text, const ModelInput& input, const Norm& norm) {
  if (input.classes < 2)
    fail(ErrorKind::usage, "network", "expected at least 2 classes, got {}", input.classes);
  if (input.channels < 1 || input.height < 1 || input.width < 1)
    fail(ErrorKind::usage, "network", "images of {} do not fit: expected at least 1x1 pixels", input.str());
  const std::map<std::string, LayerWord> words = registered_words();
  const networks::Tree tree = networks::parse(text);
  std::vector<Part> nodes = networks::Expander(words, tree, norm, input.classes).nodes();
  Planner planner(input.shape(1));
  const Shape out = planner.run(nodes, input.shape(1));
  if (out != Shape{1, input.classes})
    throw TextError(nodes.empty() ? end_of(text) : nodes.back().at,
                    fmt::format("expected a last layer that gives one value a class, (1, {}), got {}{}",
                                input.classes, out.str(), out.rank() > 2 ? "; is a flatten missing?" : ""));
  if (planner.parameters() == 0) throw TextError(end_of(text), "expected a layer with parameters, got none");
  return sequential(nodes);
}

void check_network_text(const std::string& text) {
  const std::map<std::string, LayerWord> words = registered_words();
  const networks::Tree tree = networks::parse(text);
  // Sums such as classes/4 are whole for some numbers of classes only, and which it will be is not known
  // here.
  std::optional<TextError> first;
  for (int64_t classes : {10, 2, 100, 1000, 12}) try {
      networks::Expander(words, tree, true, classes).nodes();
      return;
    } catch (const TextError& e) {
      if (!first) first = e;
    }
  throw TextError(*first);
}

std::string canonical_text(const std::string& text) { return networks::print(networks::parse(text)); }

}  // namespace sigma
