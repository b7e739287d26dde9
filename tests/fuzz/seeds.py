"""Valid contents that the fuzzers change: state dicts with many dtypes, views, wrappers, and what trainings tell."""

from __future__ import annotations

import argparse
import io
from functools import cache
from typing import Any

import numpy as np


@cache
def state_dicts() -> list[dict[str, Any]]:
    """For torch.save."""
    import torch

    net = {"conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn1.running_mean": torch.ones(2)}
    net |= {"bn1.num_batches_tracked": torch.tensor(5), "half": torch.arange(3.0).to(torch.bfloat16)}
    base = torch.arange(40, dtype=torch.float64).reshape(5, 8)
    views = {
        "a.weight": base[1:4, ::2],
        "b.weight": base.t(),
        "c.bias": torch.ones(1).expand(6),
        "d": torch.zeros(0, 3),
    }
    views |= {
        "e": torch.tensor([True, False]),
        "f": torch.arange(5, dtype=torch.int16),
        "g": torch.ones(2, dtype=torch.float16),
    }
    told = {"meta": {"CLASSES": ("ants", "bees")}, "labels": ["ants", "bees"], "optimizer": {"state": {0: {"step": 3}}}}
    whole = {"model": {"state_dict": net, "epoch": 3}, "model_ema": {"state_dict": net}, **told}
    return [{"state_dict": net, "epoch": 3}, views, {"module." + name: tensor for name, tensor in net.items()}, whole]


def with_arguments() -> dict[str, Any]:
    """With a pickled object, which torch's own safe reader refuses."""
    return {"args": argparse.Namespace(arch="resnet26d", classes={"ants": 0, "bees": 1}), **state_dicts()[0]}


def saved(state: object, **options: object) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


@cache
def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """For formats that hold arrays by name."""
    rng = np.random.default_rng(0)
    return {
        "conv1.weight": rng.standard_normal((4, 3, 2, 2)).astype("f4"),
        "bn1.running_var": np.ones(4),
        "bn1.num_batches_tracked": np.array(3),
        "half": np.arange(5, dtype="f2"),
        "mask": np.array([True, False, True]),
        "bytes": np.arange(7, dtype="u1").reshape(7, 1),
        "empty": np.zeros((0, 2), "i2"),
    }
