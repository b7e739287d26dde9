"""The smoke check's network and images: made by integers and a product each, so the same on every machine and NumPy."""

from __future__ import annotations

import numpy as np


def weights() -> dict:
    """A ResNet-18 of twelve classes; with ten it might as well be one for small images."""
    tensors = {"conv1.weight": (64, 3, 7, 7), **_norm("bn1", 64)}
    for stage, (inputs, channels) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
        for block in range(2):
            name, first = f"layer{stage}.{block}", inputs if block == 0 else channels
            for number, width in ((1, first), (2, channels)):
                tensors[f"{name}.conv{number}.weight"] = (channels, width, 3, 3)
                tensors |= _norm(f"{name}.bn{number}", channels)
            if first != channels:
                tensors[f"{name}.downsample.0.weight"] = (channels, first, 1, 1)
                tensors |= _norm(f"{name}.downsample.1", channels)
    tensors |= {"fc.weight": (12, 512), "fc.bias": (12,)}
    made = {}
    for seed, (name, shape) in enumerate(tensors.items()):
        values = numbers(shape, seed)
        if len(shape) > 1:
            values *= np.float32(1.5 / int(np.prod(shape[1:])) ** 0.5)
        elif not name.endswith("bias"):
            values = values * np.float32(0.25) + np.float32("mean" not in name)  # variances and scales near 1
        made[name] = values
    return made


def _norm(name: str, channels: int) -> dict:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def numbers(shape, seed: int):
    """Uniform in [-1, 1), multiples of 2^-23, by SplitMix64: the same whatever NumPy's generators do."""
    count = int(np.prod(shape))
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed << 40)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    whole = ((state ^ (state >> np.uint64(31))) >> np.uint64(40)).astype(np.int64) - 2**23
    return (whole.astype(np.float32) / np.float32(2**23)).reshape(shape)


def images(count: int, side: int):
    """(N, 3, side, side) float32, normalised pixels between -2 and 2."""
    return numbers((count, 3, side, side), 1000 + side) * 2
