#include "core/safetensors.h"

#include "tests/fuzz/target.h"

namespace sigma::fuzz {
namespace {

std::vector<std::string> seeds() {
  SafeTensors content;
  content.tensors["a.weight"] = Tensor::zeros({2, 3});
  content.tensors["b"] = Tensor::zeros({}, DType::int64);
  content.tensors["c"] = Tensor::zeros({0, 4}, DType::uint8);
  content.tensors["d"] = Tensor::zeros({2}, DType::bfloat16);
  const std::string plain = serialize_safetensors(content);
  content.metadata["key"] = "va\"lue";
  add_digest(content);
  return {plain, serialize_safetensors(content), serialize_safetensors({})};
}

void parse(const Bytes& bytes) { verify_digest(parse_safetensors(bytes, "file"), "file"); }

}  // namespace

const Target safetensors = {"safetensors", seeds, parse};

}  // namespace sigma::fuzz
