// A server in a loop: reads the path of an image a line, answers with its class, a line each, until the input
// ends. Behind a socket: socat TCP-LISTEN:7000,reuseaddr,fork EXEC:"inference_server best.safetensors".
#include <fmt/core.h>
#include <sigma/data/formats/image.h>
#include <sigma/sigma.h>
#include <sigma/training/checkpoint.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>

using namespace sigma;

// "7 0.993": the class with the largest softmax of the logits.
std::string classify(SavedModel& network, const std::string& path) {
  const ModelInput& input = network.input;
  Image image = to_channels(read_image(path), input.channels);
  if (image.height != input.height || image.width != input.width)
    fail(ErrorKind::data, path, "expected {}x{} pixels, got {}x{}", input.height, input.width, image.height,
         image.width);
  Tensor pixels = Tensor::empty(input.shape(1), DType::uint8, Layout::channels_last);
  std::copy(image.pixels.begin(), image.pixels.end(), pixels.mutable_data<uint8_t>());
  Variable logits = (*network.model)(Variable(normalized_images(pixels, {0}, network.normalization)));
  int64_t best = argmax(logits.value(), 1).data<int64_t>()[0];
  double total = 0;
  for (double logit : logits.value().to_vector()) total += std::exp(logit - logits.value().at({0, best}));
  return fmt::format("{} {:.3f}", network.class_names[static_cast<size_t>(best)], 1 / total);
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: inference_server CHECKPOINT < paths\n");
    return 2;
  }
  try {
    SavedModel network = model_from(load_checkpoint(argv[1]), argv[1]);  // in eval mode
    NoGrad off;                                                          // nothing is recorded
    for (std::string path; std::getline(std::cin, path);) {
      // A bad image is the client's error and does not end the server.
      try {
        fmt::print("{}\n", classify(network, path));
      } catch (const Error& e) { fmt::print("error: {}\n", e.what()); }
      std::fflush(stdout);
    }
  } catch (const Error& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return static_cast<int>(e.kind());
  }
}
