"""A small network in which every operation occurs, in the ways that ResNets use them and some that they do not."""

from __future__ import annotations

import numpy as np

from npresnet.network import INPUT, Network, Node
from npresnet.window import Window


def small_network(seed: int = 0) -> Network:
    """(N, 3, H, W) -> (N, 5)"""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def conv(name, source, window, weight, *, bias=False, groups=1, residual=None, relu=False):
        params = {"weight": weight, **({"bias": random(weight.shape[0])} if bias else {})}
        inputs = (source,) if residual is None else (source, residual)
        return Node(name, "conv2d", inputs, window, groups, params=params, activation="relu" if relu else None)

    def batch_norm(name, source, channels):
        params = {"weight": random(channels), "bias": random(channels), "running_mean": random(channels)}
        params["running_var"] = rng.uniform(0.5, 2.0, channels).astype(np.float32)
        return Node(name, "batch_norm", (source,), attrs={"eps": 1e-3}, params=params)

    nodes = (
        conv("conv1", INPUT, Window.of((3, 5), (2, 1), (1, 2)), random(8, 3, 3, 5)),
        batch_norm("bn1", "conv1", 8),
        Node("relu", "relu", ("bn1",)),
        Node("maxpool", "max_pool2d", ("relu",), Window.of(3, 2, 1), attrs={"ceil_mode": False}),
        conv("b.conv1", "maxpool", Window.of(3, 1, 2, 2), random(8, 4, 3, 3), bias=True, groups=2),
        Node("b.add", "add", ("b.conv1", "maxpool"), activation="relu"),
        conv("b.conv2", "b.add", Window.of(1), random(8, 8, 1, 1), residual="maxpool", relu=True),
        Node("avg", "avg_pool2d", ("b.conv2",), Window.of(2, 2, 1), attrs={"count_include_pad": False}),
        Node("a.short", "shortcut_a", ("avg",), attrs={"stride": 2, "pad_channels": (1, 3)}),
        Node("pool", "global_avg_pool", ("a.short",)),
        Node("flat", "flatten", ("pool",)),
        Node("fc", "linear", ("flat",), params={"weight": random(5, 12), "bias": random(5)}),
    )
    return Network(nodes, {"logits": "fc"})
