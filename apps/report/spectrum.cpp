// Table, CSV, JSON and pictures of `sigma spectrum`.
#include "apps/report/spectrum.h"
#include "core/text.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/report/csv.h"

namespace sigma::app {
namespace {

struct Summary {
  double largest, smallest, condition, rank;
  int64_t count;
  explicit Summary(const Tensor& values)
      : largest(values.data<double>()[0]),
        smallest(values.data<double>()[values.numel() - 1]),
        condition(condition_number(values)),
        rank(effective_rank(values)),
        count(values.numel()) {}
};

std::string shape_text(const Shape& s) { return join(std::vector<int64_t>(s.begin(), s.end()), "x"); }
// As trained, or what the row stands for otherwise.
std::string norm_text(const NetworkSpectrum& n, const SpectrumRow& r) {
  return r.folded ? "folded" : n.batch_norm ? "on" : "off";
}

// Columns of aligned text: the first `left` to the left, the others to the right.
std::string align(const std::vector<std::vector<std::string>>& lines, size_t left) {
  std::vector<size_t> width;
  for (auto& cells : lines) {
    width.resize(std::max(width.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) width[i] = std::max(width[i], cells[i].size());
  }
  std::string text;
  for (auto& cells : lines) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i)
      line += i < left ? fmt::format("{:<{}}  ", cells[i], width[i])
                       : fmt::format("{:>{}}  ", cells[i], width[i]);
    text += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

// The rows of all networks, those of one layer next to each other.
template <class Fn>
void by_layer(const std::vector<NetworkSpectrum>& networks, Fn fn) {
  std::vector<std::string> paths;
  for (const NetworkSpectrum& n : networks)
    for (const SpectrumRow& r : n.rows)
      if (std::find(paths.begin(), paths.end(), r.layer.path) == paths.end()) paths.push_back(r.layer.path);
  for (const std::string& path : paths)
    for (const NetworkSpectrum& n : networks)
      for (const SpectrumRow& r : n.rows)
        if (r.layer.path == path) fn(n, r);
}

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(); }
Json summary_json(const Tensor& values) {
  Summary s(values);
  return {{"largest", number(s.largest)},
          {"smallest", number(s.smallest)},
          {"condition", number(s.condition)},
          {"effective_rank", number(s.rank)},
          {"values", s.count}};
}

}  // namespace

std::string spectrum_table(const std::vector<NetworkSpectrum>& networks) {
  std::string text;
  bool with_activations = false;
  for (const NetworkSpectrum& n : networks) {
    text += fmt::format("{}: {} on {}, {}, batch norm {}\n", n.label, n.model, n.data, n.input.str(),
                        n.batch_norm ? "on" : "off");
    for (const SpectrumRow& r : n.rows) with_activations |= r.activations.has_value();
  }
  text +=
      "\nW: weights, out x all else; op: the convolution on its image, circular; s1, sn: largest and "
      "smallest\n"
      "singular value; rank: effective rank, of so many values";
  if (with_activations) text += "; act: covariance of the outputs, from so many samples";
  text += "\n\n";
  const bool several = networks.size() > 1;
  std::vector<std::string> header{"layer", "shape"};
  if (several) header.emplace_back("checkpoint");
  header.emplace_back("norm");
  const size_t left = header.size();
  for (const char* name : {"W s1", "sn", "s1/sn", "rank", "of", "|W|", "op s1", "sn", "s1/sn", "rank", "of"})
    header.emplace_back(name);
  if (with_activations)
    for (const char* name : {"act cond", "rank", "of", "samples"}) header.emplace_back(name);
  std::vector<std::vector<std::string>> lines{header};
  by_layer(networks, [&](const NetworkSpectrum& n, const SpectrumRow& r) {
    std::vector<std::string> cells{r.layer.path, shape_text(r.layer.shape)};
    if (several) cells.push_back(n.label);
    cells.push_back(norm_text(n, r));
    auto add = [&](const Tensor& values) {
      Summary s(values);
      for (double v : {s.largest, s.smallest, s.condition}) cells.push_back(fmt::format("{:.3g}", v));
      cells.push_back(fmt::format("{:.1f}", s.rank));
      cells.push_back(std::to_string(s.count));
    };
    add(r.layer.weight);
    cells.push_back(fmt::format("{:.3g}", r.layer.frobenius));
    if (r.layer.op.defined())
      add(r.layer.op);
    else
      cells.insert(cells.end(), 5, "-");
    if (r.activations) {
      Summary s(r.activations->covariance);
      cells.push_back(fmt::format("{:.3g}", s.condition));
      cells.push_back(fmt::format("{:.1f}", s.rank));
      cells.push_back(std::to_string(r.activations->features));
      cells.push_back(std::to_string(r.activations->samples));
    } else if (with_activations) {
      cells.insert(cells.end(), 4, "-");
    }
    lines.push_back(cells);
  });
  return text + align(lines, left);
}

std::string spectrum_csv(const std::vector<NetworkSpectrum>& networks) {
  std::string text =
      "label,checkpoint,batch_norm,layer,kind,shape,folded,largest,smallest,condition,effective_rank,values,"
      "frobenius,height,width,operator_largest,operator_smallest,operator_condition,"
      "operator_effective_rank,operator_values,activation_condition,activation_effective_rank,"
      "activation_features,activation_samples\n";
  for (const NetworkSpectrum& n : networks)
    for (const SpectrumRow& r : n.rows) {
      const LayerSpectrum& l = r.layer;
      auto add = [&](const Tensor& values) {
        Summary s(values);
        text += fmt::format(",{:.10g},{:.10g},{:.10g},{:.10g},{}", s.largest, s.smallest, s.condition, s.rank,
                            s.count);
      };
      text += fmt::format("{},{},{},{},{},{},{}", csv_cell(n.label), csv_cell(n.checkpoint),
                          n.batch_norm ? "on" : "off", l.path, l.kind, shape_text(l.shape), r.folded);
      add(l.weight);
      text += fmt::format(",{:.10g}", l.frobenius);
      text += l.h > 0 ? fmt::format(",{},{}", l.h, l.w) : ",,";
      if (l.op.defined())
        add(l.op);
      else
        text += ",,,,,";
      if (r.activations) {
        Summary s(r.activations->covariance);
        text += fmt::format(",{:.10g},{:.10g},{},{}\n", s.condition, s.rank, r.activations->features,
                            r.activations->samples);
      } else {
        text += ",,,,\n";
      }
    }
  return text;
}

std::string singular_values_csv(const std::vector<NetworkSpectrum>& networks) {
  std::string text = "label,layer,folded,kind,index,value\n";
  for (const NetworkSpectrum& n : networks)
    for (const SpectrumRow& r : n.rows)
      for (auto [kind, values] : {std::pair{"weight", &r.layer.weight}, std::pair{"operator", &r.layer.op}}) {
        if (!values->defined()) continue;
        std::string start = fmt::format("{},{},{},{}", csv_cell(n.label), r.layer.path, r.folded, kind);
        for (int64_t i = 0; i < values->numel(); ++i)
          fmt::format_to(std::back_inserter(text), "{},{},{:.10g}\n", start, i, values->data<double>()[i]);
      }
  return text;
}

Json spectrum_json(const std::vector<NetworkSpectrum>& networks) {
  Json all{{"checkpoints", Json::array()}};
  for (const NetworkSpectrum& n : networks) {
    Json j{{"checkpoint", n.checkpoint}, {"label", n.label},       {"model", n.model}, {"data", n.data},
           {"batch_norm", n.batch_norm}, {"layers", Json::array()}};
    for (const SpectrumRow& r : n.rows) {
      Json row{{"layer", r.layer.path},
               {"kind", r.layer.kind},
               {"shape", std::vector<int64_t>(r.layer.shape.begin(), r.layer.shape.end())},
               {"folded", r.folded},
               {"weight", summary_json(r.layer.weight)}};
      row["weight"]["frobenius"] = r.layer.frobenius;
      if (r.layer.h > 0) row["image"] = {r.layer.h, r.layer.w};
      row["operator"] = r.layer.op.defined() ? summary_json(r.layer.op) : Json();
      if (r.activations) {
        Summary s(r.activations->covariance);
        row["activations"] = {{"condition", number(s.condition)},
                              {"effective_rank", number(s.rank)},
                              {"features", r.activations->features},
                              {"samples", r.activations->samples}};
      }
      j["layers"].push_back(row);
    }
    all["checkpoints"].push_back(j);
  }
  return all;
}

std::vector<Chart> spectrum_charts(const std::vector<NetworkSpectrum>& networks) {
  // Weights are float32: below 1e-7 of the largest value there is nothing to see but rounding.
  constexpr double kFloor = 1e-7;
  std::vector<Chart> charts;
  double high = 0;
  std::vector<double> all;
  for (const NetworkSpectrum& n : networks)
    for (bool folded : {false, true}) {
      std::string what = folded         ? "batch norm folded in"
                         : n.batch_norm ? "as trained, batch norm on"
                                        : "batch norm off";
      Chart chart{fmt::format("{}: {}", networks.size() == 1 ? n.model : n.label, what),
                  "share of the layer's singular values (dashed: Linear)", "singular value of the operator"};
      chart.log_y = true;
      // Layers without a norm are in both panels, so that the two can be compared. Of many layers the colours
      // run from blue to orange with the depth, and about six are named.
      std::vector<const SpectrumRow*> shown;
      bool any = false;
      for (size_t i = 0; i < n.rows.size(); ++i) {
        bool has_folded = i + 1 < n.rows.size() && n.rows[i + 1].folded;
        if (folded ? has_folded : n.rows[i].folded) continue;
        shown.push_back(&n.rows[i]);
        any |= n.rows[i].folded;
      }
      if (folded && !any) continue;
      const size_t many = 7, step = (shown.size() + 5) / 6;
      for (size_t i = 0; i < shown.size(); ++i) {
        const LayerSpectrum& l = shown[i]->layer;
        const Tensor& values = l.op.defined() ? l.op : l.weight;
        Series s{shown.size() <= many || i % step == 0 || i + 1 == shown.size() ? l.path : ""};
        s.color = palette(i);
        if (shown.size() > many) {
          double t = static_cast<double>(i) / static_cast<double>(shown.size() - 1);
          auto mix = [&](int from, int to) { return static_cast<uint8_t>(from + t * (to - from)); };
          s.color = {mix(0, 230), mix(114, 120), mix(178, 0)};
        }
        s.dashed = l.kind == "Linear";
        const int64_t count = values.numel(), points = std::min<int64_t>(count, 400);
        for (int64_t k = 0; k < points; ++k) {
          int64_t at = points > 1 ? k * (count - 1) / (points - 1) : 0;
          double v = values.data<double>()[at];
          s.x.push_back(count > 1 ? static_cast<double>(at) / static_cast<double>(count - 1) : 0);
          s.y.push_back(v);
          high = std::max(high, v);
          all.push_back(v);
        }
        chart.series.push_back(std::move(s));
      }
      charts.push_back(std::move(chart));
    }
  if (!(high > 0)) return charts;
  double low = high;  // lines go on along the axis below it
  for (double v : all)
    if (v > high * kFloor) low = std::min(low, v);
  for (Chart& c : charts) {
    c.y_max = high * 1.3;
    c.y_min = low / 1.3;
  }
  return charts;
}

std::vector<std::string> distinct_labels(const std::vector<std::string>& paths) {
  if (paths.size() == 1) return {std::filesystem::path(paths[0]).stem().string()};
  std::vector<std::vector<std::string>> parts;
  for (const std::string& p : paths) {
    parts.emplace_back();
    for (const std::filesystem::path& part : std::filesystem::path(p).lexically_normal())
      parts.back().push_back(part.string());
  }
  auto all_share = [&](bool last) {
    for (auto& p : parts)
      if (p.empty() || (last ? p.back() : p.front()) != (last ? parts[0].back() : parts[0].front()))
        return false;
    return true;
  };
  while (all_share(false))
    for (auto& p : parts) p.erase(p.begin());
  while (all_share(true))
    for (auto& p : parts) p.pop_back();
  std::vector<std::string> labels;
  for (size_t i = 0; i < paths.size(); ++i)
    labels.push_back(parts[i].empty() ? paths[i] : join(parts[i], "/"));
  // "a/w" and "a/a/w/w": the parts of the second are the path of the first.
  if (std::set<std::string>(labels.begin(), labels.end()).size() < labels.size()) return paths;
  return labels;
}

}  // namespace sigma::app
