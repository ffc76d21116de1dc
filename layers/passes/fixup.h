// Fixup: initial weights with which residual networks train without normalization. Zhang, Dauphin and Ma,
// "Fixup Initialization: Residual Learning Without Normalization", ICLR 2019 (arXiv 1901.09321), section 3.
#pragma once

#include "layers/module.h"

namespace sigma::init {

// Of a network whose weights are drawn as He et al. 2015 do, with L residual blocks and m convolutions or
// linear layers in the body of a block:
//
//   the last of them           0
//   the others of the block    times L^(-1 / (2 m - 2))
//   the network's last layer   0, where it is a convolution or a linear layer outside of all blocks
//
// and every bias of theirs is 0; all others, those of shortcuts too, keep their weights. The paper's scalars
// are layers of the network (scalar.h). Blocks are layers Residual; those within a block's body are not told
// apart from it. Throws kind usage for a network without residual blocks, and for a block without such
// layers.
void fixup(Module& model);

}  // namespace sigma::init
