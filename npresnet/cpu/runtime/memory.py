"""Memory of one plan: the arena that its values share, and each worker's scratch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from npresnet.plan import Layout, Value
from npresnet.plan.arena import ALIGNMENT_BYTES

Floats = NDArray[np.float32]

MIN_TILE_FLOATS = 100_000  # of a pointwise operation: in smaller tiles call overhead dominates


class Memory:
    """Views of one plan's memory. `scratch` requires `add_scratch` first."""

    def __init__(self, layout: Layout, workers: int):
        self.layout = layout
        self.workers = workers
        # Zeroed lazily by the system at no cost; borders stay zero because no call writes to them.
        self._arena = aligned_floats(layout.arena_bytes // 4, np.zeros)
        self._scratch: list[dict[str, Floats]] = []
        self._storage: dict[str, Floats] = {}
        self._rows: dict[Hashable, Floats] = {}
        self._zeros = np.zeros(0, np.float32)
        self._ones = np.ones(0, np.float32)

    def add_scratch(self, floats: Mapping[str, int]) -> None:
        """Allocate each worker's scratch: by purpose, as many floats as the largest tile needs."""
        self._scratch = [
            {purpose: aligned_floats(count) for purpose, count in floats.items()} for _ in range(self.workers)
        ]

    def value(self, name: str) -> Value:
        return self.layout.values[name]

    def storage(self, name: str) -> Floats:
        """All images of a value with their halo: (N, top + H + bottom, left + W + right, C), or (N, C).

        Contiguous except for values stored channels first, which are views with other strides.
        """
        if name not in self._storage:
            self._storage[name] = self._view(self.value(name))
        return self._storage[name]

    def _view(self, value: Value) -> Floats:
        shape, start = value.storage_shape, value.offset_bytes // 4
        floats = self._arena[start : start + prod(shape)]
        if not value.channels_first:
            return floats.reshape(shape)
        images, height, width, channels = shape
        result: Floats = floats.reshape(images, channels, height, width).transpose(0, 2, 3, 1)
        return result

    def images(self, name: str) -> Floats:
        """All images of a value without their halo: (N, H, W, C), or (N, C); of clips (N, H, W, T*C)."""
        storage, value = self.storage(name), self.value(name)
        if storage.ndim == 2:
            return storage
        (top, bottom), (left, right) = value.halo[-2:]
        _, height, width, channels = storage.shape
        inside = storage[:, top : height - bottom, left : width - right]
        if len(value.shape) == 3:
            return inside
        (before, after), frame = value.halo[0], value.shape[0]
        return inside[..., before * frame : channels - after * frame]

    def clips(self, name: str) -> Floats:
        """All clips of a value without their halo: (N, H, W, T, C)."""
        images, (channels, frames) = self.images(name), self.value(name).shape[:2]
        return images.reshape(*images.shape[:3], frames, channels)  # a view: no axes are joined

    def numbers(self, name: str) -> Floats:
        """All images of a value with one number per channel, (C, 1, 1) or (C,): a view (N, C)."""
        value = self.images(name)
        return value if value.ndim == 2 else value[:, 0, 0]

    def scratch(self, worker: int, purpose: str, shape: tuple[int, ...]) -> Floats:
        """A contiguous array for one tile's intermediate results; the worker's other tiles use the same bytes."""
        return self._scratch[worker][purpose][: prod(shape)].reshape(shape)

    def rows_of(self, channels: Floats, width: int) -> Floats:
        """Numbers per channel (o,) repeated along a row: (width, o), cached.

        A row of one pixel, or a scalar, runs at a quarter of the speed of a whole row: its inner loop is too short.
        """
        key = (channels.ctypes.data, channels.shape, channels.strides, width)
        if key not in self._rows:
            self._rows[key] = np.empty((width, *channels.shape), np.float32)
            self._rows[key][...] = channels
        return self._rows[key]

    def zeros(self, shape: tuple[int, ...]) -> Floats:
        """A read-only array of zeros: the ReLU's other operand, in whole rows for the same reason."""
        if self._zeros.size < prod(shape):
            self._zeros = np.zeros(prod(shape), np.float32)
        return self._zeros[: prod(shape)].reshape(shape)

    def ones(self, shape: tuple[int, ...]) -> Floats:
        """A read-only array of ones: a sum over an axis is a product with it."""
        if self._ones.size < prod(shape):
            self._ones = np.ones(prod(shape), np.float32)
        return self._ones[: prod(shape)].reshape(shape)


def aligned_floats(count: int, make: Callable[..., NDArray[np.uint8]] = np.empty) -> Floats:
    """`count` float32 aligned to a cache line, from `np.empty` or `np.zeros`. Raises MemoryError."""
    if count > sys.maxsize // 8:
        raise MemoryError(f"{count} numbers are too many for an array")
    raw = make(count * 4 + ALIGNMENT_BYTES, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[skip : skip + count * 4].view(np.float32)


def split(length: int, parts: int) -> list[tuple[int, int]]:
    """(start, stop) of `parts` nearly equal pieces of range(length); fewer where there are fewer positions."""
    parts = max(1, min(parts, length))
    edges = [length * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


def bands_of(memory: Memory, *names: str) -> list[tuple[Floats, ...]]:
    """The same rows (h, W, C) of several values of one shape, band by band. A vector (C,) is an image of one pixel."""
    values = [memory.images(name) for name in names]
    values = [value[:, None, None] if value.ndim == 2 else value for value in values]  # (N, H, W, C)
    images, height, _, _ = values[0].shape
    bands = split(height, values[0][0].size // MIN_TILE_FLOATS)
    return [tuple(value[n, start:stop] for value in values) for n in range(images) for start, stop in bands]
