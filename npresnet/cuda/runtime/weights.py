"""A model's parameters on the GPU: each packed for its kernel and uploaded once.

Batch sizes, and the parts of a network that `features` runs, share them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import numpy as np

from npresnet.cuda.runtime.gpu import Buffer, Gpu
from npresnet.network import Array


class Weights:
    """Key -> address. The memory is freed with this object, which every open executable that reads it holds."""

    def __init__(self, gpu: Gpu):
        self._gpu = gpu
        self._stream = gpu.stream()
        self._kept: dict[Hashable, Buffer] = {}
        self._lock = threading.Lock()

    def address(self, key: Hashable, make: Callable[[], Array]) -> int:
        """Where `make()`'s array lies; it is called the first time only. Raises DeviceError where memory is short."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                with np.errstate(under="ignore", over="ignore"):
                    found = self._kept[key] = self._upload(np.ascontiguousarray(make()))
            return found.address

    def size_bytes(self) -> int:
        """Of all that was uploaded so far."""
        with self._lock:
            return sum(buffer.size_bytes for buffer in self._kept.values())

    def _upload(self, array: Array) -> Buffer:
        buffer = self._gpu.allocate(array.nbytes, "a layer's weights: this")
        with self._gpu.active():
            self._gpu.upload(buffer.address, array, self._stream)
            self._stream.synchronize()
        return buffer
