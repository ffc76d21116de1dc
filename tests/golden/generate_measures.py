#!/usr/bin/python3
"""Writes measures.safetensors beside it: what NumPy says of small matrices, for tests/apps/measures_test.cpp.

    /usr/bin/python3 tests/golden/generate_measures.py       # needs NumPy and PyTorch

"i/x" is the case's matrix (samples, features), "i/y" its measures in the order of the names in the metadata. Formulas
as in the papers that apps/training/measures.h names, written another way than there where there is one.
"""
import os

import numpy as np
import torch

import common

NAMES = ["percentile_15", "percentile_50", "percentile_85", "kurtosis", "max_over_median", "soft_rank", "trace_rank",
         "effective_rank", "orthogonality_gap", "largest", "smallest", "rank"]
TAU = 0.05


def measures(x):
    v = x.ravel()
    n = x.shape[0]
    second = x.T @ x / n
    eigenvalues = np.linalg.eigvalsh(second)[::-1]
    s = np.linalg.svd(x, compute_uv=False)
    shares = s[s > 0] / s.sum()
    gram = x @ x.T
    gap = gram / np.trace(gram) - np.eye(n) / n
    kept = eigenvalues[eigenvalues > len(eigenvalues) * 2.2e-16 * eigenvalues[0]]
    return [*np.percentile(v, [15, 50, 85]), np.mean((v - v.mean()) ** 4) / np.var(v) ** 2,
            np.abs(v).max() / np.median(np.abs(v)), np.sum(np.linalg.eigvalsh(second) >= TAU),
            np.trace(second) ** 2 / np.sum(second ** 2), np.exp(-np.sum(shares * np.log(shares))),
            np.linalg.norm(gap), kept[0], kept[-1], len(kept)]


def main():
    random = np.random.RandomState(5)
    cases = [random.standard_normal((7, 4)), random.standard_normal((3, 9)) * 100 + 5,
             np.outer(random.standard_normal(6), random.standard_normal(5)) + 1e-3 * random.standard_normal((6, 5)),
             np.eye(4), random.standard_t(3, (40, 3)), np.ones((5, 2)) * 1e160 * 1e-160 + random.uniform(0, 1, (5, 2))]
    tensors = {}
    for i, x in enumerate(cases):
        tensors[f"{i}/x"] = torch.from_numpy(x.copy())
        tensors[f"{i}/y"] = torch.tensor(measures(x), dtype=torch.float64)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "measures.safetensors")
    common.save_safetensors(path, tensors, {"names": ",".join(NAMES), "tau": str(TAU)})


if __name__ == "__main__":
    main()
