"""Random weights that behave like trained ones: activations neither vanish nor explode, and every BatchNorm matters.

In torchvision's initialisation, every BatchNorm has mean 0 and variance 1, so that folding changes almost nothing and
the parity check would miss a wrong fold.
"""

from __future__ import annotations

import re

import numpy as np

BRANCH_SCALE = 0.25  # of a block's last BatchNorm, so that sixty residual branches can be added without overflow


def randomise_batch_norms(tensors: dict[str, np.ndarray], *, seed: int) -> dict[str, np.ndarray]:
    """A copy in which every BatchNorm has random statistics, scale and shift, scaled down in each block's last one."""
    rng = np.random.default_rng(seed)
    result = dict(tensors)
    last = _last_batch_norms(tensors)
    for layer in sorted(name.removesuffix(".running_mean") for name in tensors if name.endswith(".running_mean")):
        shape = tensors[f"{layer}.running_mean"].shape
        scale = rng.uniform(0.8, 1.2, shape) * (BRANCH_SCALE if layer in last else 1.0)
        values = {
            "weight": scale,
            "bias": rng.normal(0.0, 0.1, shape),
            "running_mean": rng.normal(0.0, 0.1, shape),
            "running_var": rng.uniform(0.7, 1.5, shape),
        }
        result.update({f"{layer}.{role}": value.astype(np.float32) for role, value in values.items()})
    return result


def _last_batch_norms(tensors: dict[str, np.ndarray]) -> set[str]:
    """The last `bn<number>` of each block `layer<i>.<j>`."""
    last: dict[str, str] = {}
    for name in sorted(tensors):
        found = re.fullmatch(r"((layer\d+\.\d+)\.bn\d+)\.running_mean", name)
        if found:
            last[found[2]] = found[1]
    return set(last.values())
