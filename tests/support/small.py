"""Small models and images for tests of everything around the network."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

import npresnet

ARCH = "cifar_resnet20"  # 0.27 M parameters, ten classes, 32x32 images


@lru_cache(maxsize=1)
def shared_model() -> npresnet.Model:
    """A model with random weights that no test closes or changes."""
    return npresnet.build(ARCH, num_classes=10, threads=2)


def batch(count: int, *, size: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    """(count, channels, size, size) float32, normal."""
    return np.random.default_rng(seed).standard_normal((count, channels, size, size), dtype=np.float32)


def picture(seed: int = 0, *, height: int = 40, width: int = 48) -> np.ndarray:
    """(height, width, 3) uint8: blobs of colour, different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_pictures(folder: Path, count: int, **size: int) -> list[str]:
    """Pictures number 0 .. count-1 as PNG files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"{seed:03d}.png") for seed in range(count)]
    for seed, path in enumerate(paths):
        Image.fromarray(picture(seed, **size)).save(path)
    return paths
