#include "apps/verbs/summary_drawing.h"

#include <map>

#include "core/file.h"

namespace sigma::app {
namespace {

bool ends(const std::string& text, const std::string& suffix) {
  return text.size() >= suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

class Drawer {
 public:
  explicit Drawer(const std::vector<TraceRow>& rows) {
    for (const TraceRow& r : rows) rows_.emplace(r.module, &r);
  }

  void walk(const Module& m, NetworkDrawing& n, int& inner) const {
    const auto& children = m.named_children();
    if (children.empty()) {
      n.boxes.push_back(box(m));
      return;
    }
    const bool residual = m.role() == Role::residual;
    const size_t first = n.boxes.size(), body = residual ? m.chain().size() : children.size();
    int level = 0;
    for (size_t i = 0; i < body; ++i) walk(*children[i].second, n, level);
    if (!residual) {
      inner = std::max(inner, level);
      return;
    }
    SkipLine skip{first, n.boxes.size(), level, {}};
    if (body < children.size()) skip.layers = leaves(*children[body].second);
    n.skips.push_back(std::move(skip));
    inner = std::max(inner, level + 1);
  }

 private:
  LayerBox box(const Module& m) const {
    const TraceRow& r = *rows_.at(&m);
    return {r.path, r.kind, r.out.str(), r.parameters};
  }
  // Of a shortcut; what is residual within one is shown as its layers in a row.
  std::vector<LayerBox> leaves(const Module& m) const {
    NetworkDrawing n;
    int level = 0;
    walk(m, n, level);
    return n.boxes;
  }

  std::map<const Module*, const TraceRow*> rows_;
};

}  // namespace

void check_drawing_file(const std::string& file) {
  if (!ends(file, ".svg") && !ends(file, ".png"))
    fail(ErrorKind::usage, "--draw", "expected a file that ends in .svg or .png, got \"{}\"", file);
}

NetworkDrawing drawing_of(const std::string& title, const Module& model, const std::vector<TraceRow>& rows) {
  NetworkDrawing n;
  n.title = title;
  n.input = rows.empty() ? "" : rows.back().in.str();
  int level = 0;
  Drawer(rows).walk(model, n, level);
  return n;
}

void draw_network(const std::string& file, const std::string& title, const Module& model,
                  const std::vector<TraceRow>& rows) {
  const NetworkDrawing n = drawing_of(title, model, rows);
  write_file_atomic(file, ends(file, ".svg") ? to_svg(n) : to_png(n));
}

}  // namespace sigma::app
