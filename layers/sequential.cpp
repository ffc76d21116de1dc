#include "layers/sequential.h"

#include "layers/activations.h"
#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/pooling.h"

namespace sigma {

std::vector<LayerExample> Sequential::examples() {
  auto make = [] {
    auto net = std::make_shared<Sequential>();
    net->add<Conv2d>("conv", 2, 3, Conv2dOptions{.padding = 1});
    net->add<BatchNorm2d>("bn", 3);
    net->add<ReLU>("relu");
    net->add<MaxPool2d>("pool");
    net->add<Flatten>("flatten");
    net->add<Linear>("fc", 27, 4);
    initialize(*net, 3);
    return net;
  };
  return {{"conv, batch norm, ReLU, pool, linear", {4, 2, 6, 6}, make}};
}

std::vector<LayerExample> Identity::examples() { return {example<Identity>("", {3, 4})}; }

std::vector<LayerWord> Identity::words() { return {elementwise_word<Identity>("identity")}; }

}  // namespace sigma
