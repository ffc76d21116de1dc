#!/usr/bin/python3
"""Writes softmax, log_softmax, logsumexp and ops.safetensors and printed.safetensors beside it: what PyTorch
computes, for tests/autograd/golden_ops_test.cpp and tests/core/print_test.cpp to compare with.

    /usr/bin/python3 tests/golden/generate_ops.py        # needs PyTorch (written with 1.13) and NumPy

Case i has its options as JSON in the metadata under the key "i" and the tensors "i/x0", "i/x1" inputs, "i/index"
or "i/condition", "i/g" cotangent, "i/y" output, "i/d0", "i/d1" gradients of sum(y * g). All computed in float64.
A case of printed.safetensors has one tensor "i/x" and the option "text": the tensor as PyTorch prints it.
"""
import json

import numpy as np
import torch

import common
from generate import Golden


def op_case(golden, fn, inputs, options, **extra):
    """fn(inputs) forward and backward with a random cotangent."""
    xs = [x.clone().requires_grad_() for x in inputs]
    y = fn(*xs)
    g = golden.normal(*y.shape)
    y.backward(g)
    tensors = {f"x{k}": x for k, x in enumerate(xs)}
    tensors.update({f"d{k}": torch.zeros_like(x) if x.grad is None else x.grad for k, x in enumerate(xs)})
    golden.add(options, g=g, y=y, **tensors, **extra)


SHAPES = [((5, 7), 1), ((5, 7), 0), ((1, 10), -1), ((9,), 0), ((1,), 0), ((4, 1), 1), ((2, 3, 4), 0), ((2, 3, 4), 1),
          ((2, 3, 4), -1), ((2, 5, 3, 3), 1), ((2, 5, 3, 3), 0), ((2, 5, 3, 3), 2), ((2, 5, 3, 3), 3), ((3, 17), 1),
          ((17, 3), 0), ((2, 33), -1), ((1, 130), 1), ((130, 1), 0), ((6, 2, 1, 5), -2), ((2, 2, 2, 2, 2), 3)]


def softmaxes():
    for seed, (name, fn) in enumerate([("softmax", torch.softmax), ("log_softmax", torch.log_softmax)]):
        golden = Golden(name, 200 + seed)
        for shape, dim in SHAPES:
            op_case(golden, lambda x: fn(x, dim), [golden.normal(*shape)], {"dim": dim})
        for scale, shift in [(20, 0), (1, 1000), (300, -500), (1e-3, 0), (0, 3)]:  # far apart, far away, equal
            op_case(golden, lambda x: fn(x, 1), [golden.normal(4, 6, scale=scale, shift=shift)], {"dim": 1})
        golden.save()
    golden = Golden("logsumexp", 202)
    for shape, dim in SHAPES:
        op_case(golden, lambda x: torch.logsumexp(x, dim), [golden.normal(*shape)], {"dims": [dim], "keepdim": False})
    for shape, dims in [((2, 3, 4), [0, 2]), ((2, 5, 3, 3), [0, 2, 3]), ((2, 5, 3, 3), [1]), ((4, 3), [0, 1])]:
        op_case(golden, lambda x: torch.logsumexp(x, dims, keepdim=True), [golden.normal(*shape)],
                {"dims": dims, "keepdim": True})
    op_case(golden, lambda x: torch.logsumexp(x, 1), [golden.normal(4, 6, scale=200, shift=900)],
            {"dims": [1], "keepdim": False})
    golden.save()


PAIRS = [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((2, 3, 2, 2), (1, 3, 1, 1)), ((3, 1), (1, 5)), ((), (2, 3)),
         ((4, 3), ()), ((2, 1, 3), (4, 1))]


def few(golden, *shape):
    """Numbers with many ties."""
    return torch.from_numpy(golden.random.randint(-2, 3, shape).astype(np.float64))


def pointwise(golden):
    for name in ["maximum", "minimum"]:
        for a, b in PAIRS:
            op_case(golden, getattr(torch, name), [golden.normal(*a), golden.normal(*b)], {"op": name})
        op_case(golden, getattr(torch, name), [few(golden, 4, 5), few(golden, 4, 5)], {"op": name})
    for low, high in [(-0.5, 0.5), (0.0, None), (None, 0.25), (1.0, -1.0), (-9.0, 9.0)]:
        o = {"op": "clamp", "low": low, "high": high}
        op_case(golden, lambda x: torch.clamp(x, low, high), [golden.normal(4, 5)], o)
    o = {"op": "clamp", "low": -1.0, "high": 1.0}
    op_case(golden, lambda x: torch.clamp(x, -1.0, 1.0), [few(golden, 4, 5)], o)
    for a, b in PAIRS:
        shape = np.broadcast_shapes(a, b)
        for c in [shape, shape[-1:]]:
            condition = torch.from_numpy(golden.random.randint(0, 2, c).astype(np.uint8).reshape(c))
            op_case(golden, lambda x, y: torch.where(condition.bool(), x, y), [golden.normal(*a), golden.normal(*b)],
                    {"op": "where"}, condition=condition)
    scalars = {"x+2.5": lambda x: x + 2.5, "x-2.5": lambda x: x - 2.5, "2.5-x": lambda x: 2.5 - x,
               "x*2.5": lambda x: x * 2.5, "x/3": lambda x: x / 3, "3/x": lambda x: 3 / x}
    for name, fn in scalars.items():
        op_case(golden, fn, [golden.normal(3, 4)], {"op": "scalar", "which": name})


def reductions(golden):
    for name in ["amax", "amin"]:
        for shape, dims in [((3, 4), [0]), ((3, 4), [1]), ((3, 4), [0, 1]), ((2, 3, 4), [0, 2]), ((2, 5, 3, 3), [1]),
                            ((2, 5, 3, 3), [2, 3]), ((2, 5, 3, 3), [0, 2]), ((7,), [0])]:
            for ties in [False, True]:
                x = few(golden, *shape) if ties else golden.normal(*shape)
                op_case(golden, lambda x: getattr(torch, name)(x, dims, keepdim=ties), [x],
                        {"op": name, "dims": dims, "keepdim": ties})
    for name in ["max", "min"]:
        for ties in [False, True]:
            x = few(golden, 3, 5) if ties else golden.normal(3, 5)
            op_case(golden, getattr(torch, name), [x], {"op": name})
        for shape, dim in [((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((2, 5, 3, 3), 1), ((2, 5, 3, 3), -1), ((9,), 0)]:
            x = golden.normal(*shape)
            index = getattr(torch, name)(x, dim).indices
            op_case(golden, lambda x: getattr(torch, name)(x, dim).values, [x], {"op": name, "dim": dim}, index=index)


def indexing(golden):
    for shape, dim, index in [((3, 4), 0, (2, 4)), ((3, 4), 1, (3, 6)), ((3, 4), 1, (2, 2)), ((5,), 0, (9,)), ((2, 3, 4), 1, (2, 5, 4)),
                              ((2, 3, 4), 2, (1, 2, 6)), ((2, 3, 4), -3, (4, 1, 3)), ((2, 3, 2, 2), 1, (2, 1, 2, 2)), ((3, 4), 0, (0, 4)),
                              ((6, 1), 0, (8, 1))]:
        at = torch.from_numpy(golden.random.randint(0, shape[dim], index).astype(np.int64).reshape(index))
        op_case(golden, lambda x: torch.gather(x, dim, at), [golden.normal(*shape)], {"op": "gather", "dim": dim}, index=at)
        op_case(golden, lambda x, s: torch.scatter_add(x, dim, at, s), [golden.normal(*shape), golden.normal(*index)],
                {"op": "scatter_add", "dim": dim}, index=at)
    for shape, dim, count in [((3, 4), 0, 5), ((3, 4), 1, 2), ((2, 3, 4), 1, 7), ((2, 3, 4), -1, 4), ((5,), 0, 3), ((2, 3, 2, 2), 1, 1),
                              ((4, 2), 0, 0)]:
        at = torch.from_numpy(golden.random.randint(0, shape[dim], count).astype(np.int64))
        other = list(shape)
        other[dim] = count
        op_case(golden, lambda x: torch.index_select(x, dim, at), [golden.normal(*shape)],
                {"op": "index_select", "dim": dim}, index=at)
        op_case(golden, lambda x, s: torch.index_add(x, dim, at, s), [golden.normal(*shape), golden.normal(*other)],
                {"op": "index_add", "dim": dim}, index=at)
    for shape, dim in [((3, 4), 0), ((3, 4), 1), ((3, 4), 2), ((3, 4), -1), ((), 0), ((2, 3, 4), -2)]:
        op_case(golden, lambda a, b: torch.stack([a, b, a], dim), [golden.normal(*shape), golden.normal(*shape)],
                {"op": "stack", "dim": dim})


def printed():
    golden = Golden("printed", 210)
    inf, nan = float("inf"), float("nan")
    arrays = [[1.0, 2.0, 3.0], [[1.0, 2.5], [3.0, 4.0]], 3.5, 7.0, [1e-5, 1.0], [1e9, 1.0], [0.0, 0.0], [1000.0, 1.0], [1001.0, 1.5],
              [-1.0, 2.25, -3.5], [[0.1]], [1.0, inf], [1.5, -inf, nan], [nan], [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]],
              np.arange(40.0), np.arange(40.0) / 7, np.arange(48.0).reshape(2, 2, 3, 4) / 3, np.arange(1000.0) / 9, np.arange(1001.0),
              np.arange(1200.0).reshape(30, 40) / 11, np.arange(2000.0).reshape(4, 20, 25), np.arange(6), np.arange(-3, 3).reshape(2, 3),
              [2**60, 1], 5, np.arange(5000).reshape(50, 100), np.arange(12, dtype=np.uint8).reshape(3, 4), [1e-4, 5e-5], [123456.0, 2e8],
              [99999999.0, 3.0], [0.00012, 0.1], np.arange(2400.0).reshape(1200, 2)]
    for a in arrays:
        x = torch.from_numpy(np.array(a))
        golden.add({"text": str(x)}, x=x)
    golden.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    softmaxes()
    ops = Golden("ops", 203)
    pointwise(ops)
    reductions(ops)
    indexing(ops)
    ops.save()
    printed()
