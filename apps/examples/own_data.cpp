// A data set of your own: images and labels are two tensors, however they came about. Here, 16x16 pictures of
// horizontal and vertical stripes under noise; a loader shuffles, augments and normalises them.
#include <fmt/core.h>
#include <sigma/sigma.h>

#include <algorithm>
#include <vector>

using namespace sigma;

// `count` images, uint8 (N, C, H, W) as the loader wants them, and one label each.
Split make_stripes(int64_t count, uint64_t seed) {
  constexpr int64_t kSize = 16;
  std::vector<uint8_t> pixels;
  std::vector<int64_t> labels;
  Rng rng(seed, "stripes");
  for (int64_t i = 0; i < count; ++i) {
    int64_t vertical = i % 2;
    auto phase = static_cast<int64_t>(rng.next_below(4));
    for (int64_t row = 0; row < kSize; ++row)
      for (int64_t column = 0; column < kSize; ++column) {
        int64_t along = vertical ? column : row;
        double bright = (along + phase) / 2 % 2 ? 200 : 60;
        pixels.push_back(static_cast<uint8_t>(std::clamp(bright + 60 * rng.next_normal(), 0., 255.)));
      }
    labels.push_back(vertical);
  }
  Tensor images = Tensor::from(pixels, {count, 1, kSize, kSize}).to(Layout::channels_last);
  return {images, Tensor::from(labels, {count})};
}

int main() {
  Dataset data{.name = "stripes",
               .train = make_stripes(600, 1),
               .test = make_stripes(200, 2),
               .class_names = {"horizontal", "vertical"}};
  Normalization normalization = make_normalization("standard", data);
  fmt::print("{} training images, {}\n", data.train.size(), describe(normalization));

  Sequential net;
  net.add<Conv2d>("conv", 1, 4, Conv2dOptions{.kernel = 3});
  net.add<ReLU>("relu");
  net.add<GlobalAvgPool2d>("pool");
  net.add<Flatten>("flatten");
  net.add<Linear>("fc", 4, data.classes());
  initialize(net, 0);

  Loader loader(data.train, {.batch_size = 50, .normalization = normalization});
  SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  for (int64_t step = 0; step < 10 * loader.steps_per_epoch(); ++step) {
    Batch batch = loader.next();
    cross_entropy(net(Variable(batch.images)), batch.labels).backward();
    sgd.step();
    sgd.zero_grad();
  }

  // The test set, once, in eval mode and without recording.
  net.eval();
  NoGrad off;
  std::vector<int64_t> all(static_cast<size_t>(data.test.size()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  Tensor guess = argmax(net(Variable(normalized_images(data.test, all, normalization))).value(), 1);
  int64_t correct = 0;
  for (size_t i = 0; i < all.size(); ++i)
    correct += guess.data<int64_t>()[i] == data.test.labels.data<int64_t>()[i];
  fmt::print("{} of {} test images right\n", correct, data.test.size());
  return correct > data.test.size() * 9 / 10 ? 0 : 1;
}
