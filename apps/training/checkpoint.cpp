#include "training/checkpoint.h"

#include <filesystem>

#include "core/allocation.h"
#include "data/transforms/resize.h"
#include "training/checkpoint_schema.h"

namespace sigma {
namespace fs = std::filesystem;

NetworkRecord record_of(const TrainSetup& s, const Dataset& dataset) {
  const bool named = s.model == kOwnNetwork || is_model_name(s.model);
  return {.name = named ? s.model : model_label(s.model),
          .data = absolute_data_name(dataset.name),
          .input = s.input,
          .batch_norm = s.batch_norm,
          .normalization = s.loader.normalization,
          .class_names = dataset.class_names,
          .factors = s.factors,
          .resizes = dataset.resizes,
          .apart = dataset.apart,
          .text = named ? "" : s.model,
          .norm = s.norm};
}

Checkpoint checkpoint_of(const Trainer& trainer, RunRecord run) {
  run.progress.step = trainer.steps_done();
  run.optimizer = trainer.setup().optimizer.name;
  run.state = trainer.optimizer_state();
  return {record_of(trainer.setup(), trainer.dataset()), trainer.weights(), std::move(run)};
}

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint, bool keep_previous) {
  SafeTensors content = content_of(checkpoint);
  add_digest(content);
  std::error_code ignored;
  if (keep_previous && fs::exists(path, ignored)) {
    // A second name for the old file, so that at no time there is none.
    const fs::path file(path);
    const fs::path previous = file.parent_path() / (file.stem().string() + "-previous.safetensors");
    fs::remove(previous, ignored);
    fs::create_hard_link(path, previous, ignored);
    if (ignored) fs::copy_file(path, previous, fs::copy_options::overwrite_existing, ignored);
  }
  save_safetensors(path, content);
}

Checkpoint load_checkpoint(const std::string& path) {
  SafeTensors content = load_safetensors(path);
  if (!content.metadata.count("sigma"))
    fail(ErrorKind::checkpoint, path, "the file has no sigma metadata: it is not a checkpoint of sigma");
  if (!content.metadata.count("sha256"))
    fail(ErrorKind::checkpoint, path, "the content was altered: its sha256 is missing from the metadata");
  verify_digest(content, path);
  return checkpoint_from(content, path);
}

SavedModel model_from(const Checkpoint& c, const std::string& path) {
  if (c.network.name == kOwnNetwork)
    fail(ErrorKind::checkpoint, path,
         "the network is none of sigma's: the program that trained it knows how to build it");
  size_t bytes = 0;
  for (const auto& [name, t] : c.weights) bytes += t.bytes();
  SavedModel m;
  static_cast<NetworkRecord&>(m) = c.network;
  try {
    // A layer in two factors is there whole for a moment; one of rank 1 is hundreds of times smaller.
    AllocationScope limit(64 * bytes + (size_t{16} << 20));
    m.model = make_model(m.network(), m.input, norm_of(m.batch_norm, m.norm));
    apply_factors(*m.model, m.factors, false);
    m.model->load_state_dict(StateDict::of(c.weights));
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::memory)
      fail(ErrorKind::checkpoint, path,
           "the metadata declare a {} for images of {} and {} classes, which has more weights than the {} "
           "bytes that are there",
           m.name, m.input.str(), m.input.classes, bytes);
    fail(ErrorKind::checkpoint, path, "{}", e.what());
  }
  m.model->eval();
  return m;
}

SavedModel model_from(const Checkpoint& c, const std::string& path, ModulePtr model) {
  if (!model) fail(ErrorKind::usage, "model_from", "expected a network, got none");
  try {
    model->load_state_dict(StateDict::of(c.weights));
  } catch (const Error& e) { fail(ErrorKind::checkpoint, path, "{}", e.what()); }
  model->eval();
  SavedModel m;
  static_cast<NetworkRecord&>(m) = c.network;
  m.model = std::move(model);
  return m;
}

Tensor image_for(const NetworkRecord& n, const Image& given, const std::string& place) {
  Image image = to_channels(given, n.input.channels);
  if (n.resizes) image = fitted(image, n.input.height, n.input.width);
  if (image.height != n.input.height || image.width != n.input.width)
    fail(ErrorKind::data, place, "{}x{} pixels, the checkpoint expects {}x{}", image.width, image.height,
         n.input.width, n.input.height);
  Tensor pixels = Tensor::empty(n.input.shape(1), DType::uint8, Layout::channels_last);
  std::copy(image.pixels.begin(), image.pixels.end(), pixels.mutable_data<uint8_t>());
  return pixels;
}

void check_images(const Dataset& data, const ModelInput& input) {
  if (data.channels() != input.channels || data.height() != input.height || data.width() != input.width)
    fail(ErrorKind::usage, "data", "{} has images of {}x{}x{}, the checkpoint expects {}", data.name,
         data.channels(), data.height(), data.width(), input.str());
}

}  // namespace sigma
