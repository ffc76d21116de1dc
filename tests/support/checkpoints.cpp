#include "tests/support/checkpoints.h"

#include "apps/training/checkpoint_schema.h"

namespace sigma::test {

RawCheckpoint read_raw(const std::string& path) {
  RawCheckpoint c{load_safetensors(path), {}};
  verify_digest(c.content, path);
  c.meta = Json::parse(c.content.metadata.at("sigma"));
  return c;
}

void write_raw(const std::string& path, RawCheckpoint c) {
  c.content.metadata["sigma"] = c.meta.dump();
  c.content.metadata.erase("sha256");
  add_digest(c.content);
  save_safetensors(path, c.content);
}

RawCheckpoint raw_of(const Module& model, const TrainSetup& setup, const Dataset& data) {
  RawCheckpoint c{content_of({record_of(setup, data), model.state_dict().by_name(), {}}), {}};
  c.meta = Json::parse(c.content.metadata.at("sigma"));
  return c;
}

}  // namespace sigma::test
