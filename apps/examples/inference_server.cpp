// A server in a loop: loads a checkpoint of `sigma train` once, then reads the path of an image a line and
// answers with its class, the class's probability and the time it took, a line each, until the input ends.
// Behind a socket: socat TCP-LISTEN:7000,reuseaddr,fork EXEC:"inference_server best.safetensors".
#include <fmt/core.h>
#include <sigma/data/formats/image.h>
#include <sigma/sigma.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

using namespace sigma;

// "7 0.993"
std::string classify(SavedModel& network, const std::string& path) {
  Tensor pixels = image_for(network, read_image(path), path);  // of the size and channels that it takes
  Variable logits = (*network.model)(Variable(normalized_images(pixels, {0}, network.normalization)));
  Tensor probability = softmax(logits.value(), 1);
  int64_t best = argmax(probability, 1).data<int64_t>()[0];
  return fmt::format("{} {:.3f}", network.class_names[static_cast<size_t>(best)], probability.at({0, best}));
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: inference_server CHECKPOINT < paths\n");
    return 2;
  }
  try {
    SavedModel network = model_from(load_checkpoint(argv[1]), argv[1]);  // in eval mode
    fold_batch_norms(*network.model);  // into the weights: the same answers, sooner
    NoGrad off;                        // nothing is recorded
    for (std::string path; std::getline(std::cin, path);) {
      // A bad image is the client's error and does not end the server.
      try {
        auto begin = std::chrono::steady_clock::now();
        std::string answer = classify(network, path);
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
        fmt::print("{} {:.2f} ms\n", answer, took.count());
      } catch (const Error& e) { fmt::print("error: {}\n", e.what()); }
      std::fflush(stdout);  // the client waits for it
    }
  } catch (const Error& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return static_cast<int>(e.kind());
  }
}
