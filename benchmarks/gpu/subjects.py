"""The GPU report's subjects: torchvision's networks with random weights that behave like trained ones, and images."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from npresnet import arch, cuda, passes
from npresnet.bench.random_weights import randomise_batch_norms
from npresnet.cuda import ELEMENTS, Executable, Gpu
from npresnet.network import Array, Network

SEED = 7
MAIN = ("resnet18", "resnet50")


@functools.lru_cache(maxsize=2)
def network(name: str) -> Network:
    """As from a checkpoint, without any passes."""
    return arch.build(randomise_batch_norms(arch.random_tensors(name, seed=SEED), seed=SEED))[0]


@functools.lru_cache(maxsize=2)
def images(count: int, size: int) -> Array:
    """(count, 3, size, size) float32, normalised: mean 0, standard deviation 1. More of them begin with the same."""
    return np.random.default_rng(SEED).standard_normal((count, 3, size, size), dtype=np.float32)


@contextmanager
def executable(gpu: Gpu, name: str, dtype: str, *, keeps_images: bool = False) -> Iterator[Executable]:
    """The network on the GPU; its memory is freed when the block ends.

    keeps_images  for steps that run many times in a row: on what other values have left there, every run but the first
                  would compute with NaN, which takes less power
    """
    made = cuda.compile(passes.optimize(network(name)), gpu, ELEMENTS[dtype], keeps_images=keeps_images)
    try:
        yield made
    finally:
        made.close()
