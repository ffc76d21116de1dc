#!/usr/bin/python3
"""Continues in PyTorch from weights that sigma wrote: exchange.py MODEL WEIGHTS DATA OUT (safetensors files).

DATA holds x (steps, batch, ...), y (steps, batch) and the metadata lr. The names must be those of the PyTorch network,
all of them: loading is strict. OUT gets the loss of each step, as "losses", and the network afterwards.
"""
import sys

import torch

import common


def main():
    model, weights, data, out = sys.argv[1:]
    torch.set_num_threads(1)  # the same sums wherever this runs
    state, _ = common.load_safetensors(weights)
    net, _ = common.build(model)
    net.to(next(t.dtype for t in state.values() if t.is_floating_point()))
    net.load_state_dict(state, strict=True)
    batches, metadata = common.load_safetensors(data)
    losses = common.train(net, batches["x"], batches["y"], float(metadata["lr"]))
    common.save_safetensors(out, {**net.state_dict(), "losses": losses})


if __name__ == "__main__":
    main()
