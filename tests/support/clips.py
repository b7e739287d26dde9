"""Small networks for clips, and clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from npresnet.arch.families import resnet3d
from npresnet.arch.family import assemble
from npresnet.arch.initialiser import Initialiser
from npresnet.network import INPUT, Network, Node
from npresnet.weights import write_npz
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


def tiny_tensors(seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
    """Random weights of a 3-D ResNet of two stages and 8 channels, under the names of 3D-ResNets-PyTorch."""
    source = Initialiser(seed)
    given = {"block": "BasicBlock", "layers": [1, 1], "stem_channels": 8, "in_channels": 3, "num_classes": 4}
    assemble(resnet3d, source, {**given, **options})
    return source.tensors


def tiny_file(folder: Path, **options: Any) -> str:
    """The same as a file."""
    path = folder / "clips.npz"
    write_npz(path, tiny_tensors(**options), {})
    return str(path)


def frames(count: int = 4, height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """(T, H, W, 3) uint8"""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def write_frames(folder: Path, clip: np.ndarray) -> str:
    """The frames as 000.png, 001.png, ... in a new folder."""
    folder.mkdir()
    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{number:03}.png")
    return str(folder)
