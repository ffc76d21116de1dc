"""What generate.py and exchange.py share: safetensors files, reproducible numbers, the networks, ten steps of training.

Needs PyTorch and NumPy. The safetensors code is our own on purpose: it is an independent check of sigma's.
"""
import collections
import json
import struct

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

DTYPES = {"F64": np.float64, "I64": np.int64, "F32": np.float32, "U8": np.uint8}
TAGS = {np.dtype(v): k for k, v in DTYPES.items()}


def save_safetensors(path, tensors, metadata=None):
    """u64 header size, JSON header padded with spaces to a multiple of 8, data; wide types first so all is aligned."""
    arrays = {name: np.array(t.detach() if torch.is_tensor(t) else t, order="C") for name, t in tensors.items()}
    header, blobs, at = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name in sorted(arrays, key=lambda n: (-arrays[n].itemsize, n)):
        a = arrays[name]
        header[name] = {"dtype": TAGS[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        blobs.append(a.tobytes())
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_safetensors(path):
    """The tensors and the metadata; tensors in the order of the header, which need not be that of the model."""
    with open(path, "rb") as f:
        content = f.read()
    (size,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8:8 + size]), content[8 + size:]
    metadata, tensors, end = header.pop("__metadata__", {}), {}, 0
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        flat = np.frombuffer(data[first:last], dtype=DTYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(flat.reshape(entry["shape"]).copy())
        end = max(end, last)
    assert end == len(data), "bytes behind the last tensor"
    return tensors, metadata


def hashed(stream, count, first=0):
    """Numbers in [0, 1) that depend on (stream, element) alone; hashed in tests/golden_training_test.cpp is the
    same. The mixer is that of splitmix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        z = np.uint64(stream << 32) + np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


INPUTS, LABELS = 1000, 1001  # streams; parameters have 0, 1, ... in the order of named_parameters


def fill_parameters(net):
    """Batch norm: weight 1, bias 0. The rest uniform in +-1/sqrt(fan_in), a bias with the fan-in of its weight."""
    fan_in = 1
    with torch.no_grad():
        for stream, (name, p) in enumerate(net.named_parameters()):
            owner = net.get_submodule(name.rpartition(".")[0])
            if isinstance(owner, (nn.BatchNorm1d, nn.BatchNorm2d)):
                p.fill_(1.0 if name.endswith("weight") else 0.0)
                continue
            if p.dim() > 1:
                fan_in = p[0].numel()
            values = (2 * hashed(stream, p.numel()) - 1) * (1 / np.sqrt(float(fan_in)))
            p.copy_(torch.from_numpy(values).reshape(p.shape))


def batches(shape, batch, steps):
    """Inputs uniform with variance 1 and labels 0..9, a new batch each step; float64 and int64."""
    n = batch * int(np.prod(shape))
    x = np.stack([(2 * hashed(INPUTS, n, s * n) - 1) * np.sqrt(3.0) for s in range(steps)])
    y = np.stack([np.floor(10 * hashed(LABELS, batch, s * batch)).astype(np.int64) for s in range(steps)])
    return torch.from_numpy(x.reshape(steps, batch, *shape)), torch.from_numpy(y)


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


def build(model):
    """The network with sigma's layer names, and the shape of one input."""
    if model == "cnn":
        layers = [("conv1", nn.Conv2d(1, 32, 3, padding=1)), ("bn1", nn.BatchNorm2d(32)), ("relu1", nn.ReLU()),
                  ("pool1", nn.MaxPool2d(2)), ("conv2", nn.Conv2d(32, 64, 3, padding=1)), ("bn2", nn.BatchNorm2d(64)),
                  ("relu2", nn.ReLU()), ("pool2", nn.MaxPool2d(2)), ("flatten", nn.Flatten()),
                  ("fc1", nn.Linear(64 * 7 * 7, 128)), ("bn3", nn.BatchNorm1d(128)), ("relu3", nn.ReLU()),
                  ("fc2", nn.Linear(128, 10))]
        return nn.Sequential(collections.OrderedDict(layers)), (1, 28, 28)
    assert model == "resnet20", model
    layers = [("conv1", nn.Conv2d(3, 16, 3, 1, 1, bias=False)), ("bn1", nn.BatchNorm2d(16)), ("relu", nn.ReLU())]
    width = 16
    for stage in range(3):
        blocks = []
        for i in range(3):
            blocks.append(Block(width, 16 << stage, 2 if stage > 0 and i == 0 else 1))
            width = 16 << stage
        layers.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
    layers += [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("fc", nn.Linear(64, 10))]
    return nn.Sequential(collections.OrderedDict(layers)), (3, 32, 32)


def train(net, x, y, lr, momentum=0.9, weight_decay=5e-4):
    """One step of SGD on each batch of x and y; the losses before each step."""
    dtype = next(net.parameters()).dtype
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    losses = []
    net.train()
    for images, labels in zip(x.to(dtype), y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses, dtype=np.float64)
