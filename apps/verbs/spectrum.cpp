// `sigma spectrum`: the singular values of a checkpoint's layers.
#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/flags/config.h"
#include "apps/flags/verb.h"
#include "apps/report/spectrum.h"
#include "apps/run/output.h"
#include "apps/run/run_folder.h"
#include "apps/training/checkpoint.h"
#include "apps/verbs/saved_model.h"
#include "core/math.h"
#include "layers/layers.h"

namespace sigma::app {
namespace fs = std::filesystem;
namespace {

struct Network {
  NetworkSpectrum found;
  SavedModel trained, folded;
};

Network load(const std::string& path, const std::string& label) {
  Checkpoint c = load_checkpoint(path);
  Network n{{}, model_from(c, path), model_from(c, path)};
  const SavedModel& m = n.trained;
  n.found = {path, label, m.name, m.data, norm_of(m.batch_norm, m.norm).kind() == "batch", m.input, {}};
  fold_batch_norms(*n.folded.model);
  return n;
}

// Whether folding changed the layer.
bool changed(Module& trained, Module& folded) {
  StateDict a = trained.state_dict(), b = folded.state_dict();
  if (a.items.size() != b.items.size()) return true;  // it got a bias
  for (size_t i = 0; i < a.items.size(); ++i)
    if (!identical(a.items[i].second, b.items[i].second)) return true;
  return false;
}

// Test images and which of them are looked at: evenly spread, because those of a folder are sorted by class.
struct Images {
  Dataset data;
  std::vector<int64_t> rows;
};

Images test_images(const Options& o, const Network& n) {
  // An estimated covariance of C features wants several times C samples; a Linear has one an image.
  int64_t images = 512;
  n.trained.model->visit([&](const std::string&, Module& m) {
    const AffineLayer* layer = m.affine();
    if (layer && !layer->form().convolution) images = std::max(images, 8 * layer->form().out);
  });
  Options whole = o;  // a limit is spread over all
  whole.limit_test = 0;
  Images found{images_for(n.trained, whole, 1), {}};
  const int64_t all = found.data.measured().size(),
                count = std::min(all, o.limit_test > 0 ? o.limit_test : images);
  if (count < 2) fail(ErrorKind::data, found.data.name, "expected at least 2 test images, got {}", count);
  for (int64_t i = 0; i < count; ++i) found.rows.push_back(i * all / count);
  return found;
}

std::map<std::string, ActivationSpectrum> activations(Module& model, const Images& images,
                                                      const Normalization& normalization) {
  constexpr int64_t kBatch = 128;
  const auto count = static_cast<int64_t>(images.rows.size());
  auto at = images.rows.begin();
  auto next = [&] {
    auto end = at + std::min<int64_t>(kBatch, images.rows.end() - at);
    std::vector<int64_t> rows(at, end);
    at = end;
    return Variable(normalized_images(images.data.measured(), rows, normalization));
  };
  std::map<std::string, ActivationSpectrum> found;
  for (ActivationSpectrum& a : activation_spectra(model, count, next)) found.emplace(a.path, std::move(a));
  return found;
}

void measure(Network& n, const Options& o, bool with_activations) {
  const Shape shape = n.trained.input.shape(1);
  std::vector<LayerSpectrum> layers = layer_spectra(*n.trained.model, shape);
  if (layers.empty())
    fail(ErrorKind::checkpoint, n.found.checkpoint,
         "expected a model with Conv2d or Linear layers, {} has none", n.found.model);
  std::map<std::string, LayerSpectrum> folded;
  if (n.trained.batch_norm)
    for (LayerSpectrum& l : layer_spectra(*n.folded.model, shape)) folded.emplace(l.path, std::move(l));
  std::map<std::string, ActivationSpectrum> out[2];
  if (with_activations) {
    Images images = test_images(o, n);
    out[0] = activations(*n.trained.model, images, n.trained.normalization);
    if (!folded.empty()) out[1] = activations(*n.folded.model, images, n.trained.normalization);
  }
  auto add = [&](const LayerSpectrum& l, bool is_folded) {
    SpectrumRow row{l, is_folded, {}};
    if (auto it = out[is_folded].find(l.path); it != out[is_folded].end()) row.activations = it->second;
    n.found.rows.push_back(std::move(row));
  };
  for (const LayerSpectrum& l : layers) {
    add(l, false);
    auto it = folded.find(l.path);
    if (it != folded.end() && changed(*n.trained.model->find(l.path), *n.folded.model->find(l.path)))
      add(it->second, true);
  }
}

class Spectrum : public Verb {
 public:
  Spectrum()
      : Verb("spectrum", "singular values of a checkpoint's layers, in tables and a picture", kThreads) {
    flag("--checkpoint", checkpoints_, "a .safetensors checkpoint; several stand side by side",
         kIdentity | kPath | kRequired);
    flag("--activations", activations_,
         "effective rank and condition of each layer's outputs on test images too", kIdentity);
    flag("--csv", csv_, "print spectrum.csv instead of the table");
    use("--data", "the data set of --activations (default: the checkpoint's)");
    use("--data-dir");
    example("spectrum --checkpoint with-bn.safetensors without-bn.safetensors", "two networks side by side");
    use("--limit-test", "use N test images, evenly spread (default: 512, or 8 a unit of the widest Linear)");
    use("--out", "run folder (default: runs/spectrum[-N])");
    use("--overwrite");
  }
  void set_defaults(Options& o) const override { o.data.clear(); }

  int run(const Options& o) override {
    apply_threads(o);
    check(o);
    const fs::path folder_path = RunFolder::locate(o, "spectrum");
    const std::vector<std::string> labels = distinct_labels(checkpoints_);
    std::vector<Network> networks;  // all are read before the first is measured
    for (size_t i = 0; i < labels.size(); ++i) networks.push_back(load(checkpoints_[i], labels[i]));
    std::vector<NetworkSpectrum> found;
    for (Network& n : networks) {
      measure(n, o, activations_);
      found.push_back(std::move(n.found));
    }
    keep_inputs(folder_path, o, checkpoints_);
    write(o, folder_path, found);
    return 0;
  }

 private:
  void check(const Options& o) const {
    if (!activations_ && (!o.data.empty() || !o.data_dir.empty() || o.limit_test > 0))
      fail(ErrorKind::usage,
           !o.data.empty()       ? "--data"
           : !o.data_dir.empty() ? "--data-dir"
                                 : "--limit-test",
           "needs --activations: nothing else looks at images");
    if (csv_ && o.json) fail(ErrorKind::usage, "--csv", "cannot be combined with --json");
    for (size_t i = 0; i < checkpoints_.size(); ++i)
      for (size_t k = 0; k < i; ++k)
        if (fs::path(checkpoints_[i]).lexically_normal() == fs::path(checkpoints_[k]).lexically_normal())
          fail(ErrorKind::usage, "--checkpoint", "\"{}\" is listed twice", checkpoints_[i]);
  }

  void write(const Options& o, const fs::path& path, const std::vector<NetworkSpectrum>& found) const {
    const std::string csv = spectrum_csv(found), values = singular_values_csv(found);
    RunFolder folder(path, o, values.size() + (4 << 20));
    folder.write_json("config.json", flags_json(o, own_flags()));
    folder.write_json("env.json", environment());
    folder.write("spectrum.csv", csv);
    folder.write("singular_values.csv", values);
    const std::vector<Chart> charts = spectrum_charts(found);
    const int columns = charts.size() == 1 ? 1 : charts.size() == 3 ? 3 : 2;
    folder.write("spectrum.svg", to_svg(charts, columns));
    folder.write("spectrum.png", to_png(charts, columns));
    const Json summary = spectrum_json(found);
    folder.write_json("summary.json", summary);
    if (csv_) print(csv);
    if (!csv_ && !o.quiet) {
      print(spectrum_table(found));
      print(fmt::format("picture: {}", fs::absolute(folder.path() / "spectrum.png").string()));
    }
    if (o.json) print_json(summary);
  }

  std::vector<std::string> checkpoints_;
  bool activations_ = false, csv_ = false;
};

const RegisterVerb<Spectrum> register_spectrum(100);

}  // namespace
}  // namespace sigma::app
