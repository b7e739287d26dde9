"""Small networks for clips."""

from __future__ import annotations

import numpy as np

from npresnet.network import INPUT, Network, Node
from npresnet.window import Window


def small_clip_network(seed: int = 0) -> Network:
    """Every operation over clips once: convolution, BatchNorm, pools, a block with option A, the head."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> dict[str, np.ndarray]:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return {"weight": (rng.normal(size=shape) * scale).astype(np.float32)}

    def norm(channels: int) -> dict[str, np.ndarray]:
        low = {"weight": 0.5, "bias": -0.3, "running_mean": -0.3, "running_var": 0.5}
        return {role: (rng.uniform(size=channels) + least).astype(np.float32) for role, least in low.items()}

    nodes = (
        Node("conv1", "conv3d", (INPUT,), Window.of((3, 3, 3), (1, 2, 2), 1, axes=3), params=weight(8, 3, 3, 3, 3)),
        Node("bn1", "batch_norm", ("conv1",), params=norm(8), attrs={"eps": 1e-5}, activation="relu"),
        Node("pool", "max_pool3d", ("bn1",), Window.of((1, 3, 3), 1, (0, 1, 1), axes=3)),
        Node("mean", "avg_pool3d", ("pool",), Window.of((2, 1, 1), 1, axes=3)),
        Node("bn2", "batch_norm", ("mean",), params=norm(8), attrs={"eps": 1e-5}),
        Node("conv2", "conv3d", ("bn2",), Window.of(3, 2, 1, axes=3), params=weight(12, 8, 3, 3, 3)),
        Node("short", "shortcut_a", ("bn2",), attrs={"stride": 2, "pad_channels": (0, 4)}),
        Node("add", "add", ("conv2", "short"), activation="relu"),
        Node("avgpool", "global_avg_pool", ("add",)),
        Node("flat", "flatten", ("avgpool",)),
        Node("fc", "linear", ("flat",), params=weight(5, 12)),
    )
    return Network(nodes, {"logits": "fc", "map": "add"})
