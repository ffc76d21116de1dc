#include "layers/passes/trace.h"

namespace sigma {

std::vector<TraceRow> trace(Module& model, const Variable& input) {
  std::vector<TraceRow> rows;
  ScopedMode mode(model);
  ScopedHooks hooks;
  model.visit([&](const std::string& path, Module& m) {
    hooks.add(m, [&rows, &m, path](const Module& layer, const Variable& in, const Variable& out) {
      rows.push_back({path, layer.kind(), layer.describe(), in.shape(), out.shape(), layer.parameter_count(),
                      layer.macs(in.shape(), out.shape()), layer.named_children().empty(), &m});
    });
  });
  NoGrad off;
  model.eval();
  model(input);
  return rows;
}

std::vector<TraceRow> trace(Module& model, const Shape& input) {
  const auto parameters = model.parameters();
  const DType dtype = parameters.empty() ? DType::float32 : parameters[0].dtype();
  const Layout layout = input.rank() == 4 ? Layout::channels_last : Layout::contiguous;
  return trace(model, Variable(Tensor::zeros(input, dtype, layout)));
}

std::vector<TraceRow> trace_leaves(Module& model, const Shape& input) {
  std::vector<TraceRow> rows = trace(model, input);
  std::erase_if(rows, [](const TraceRow& r) { return !r.leaf; });
  return rows;
}

int64_t total_macs(const std::vector<TraceRow>& rows) {
  int64_t sum = 0;
  for (const TraceRow& r : rows) sum += r.macs;
  return sum;
}

}  // namespace sigma
