"""Pending: a batch that is on its way through a pipeline, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.compiler.layout import FLOAT_BYTES
from npresnet.cuda.runtime.failures import host_memory_errors
from npresnet.cuda.runtime.gpu import Gpu
from npresnet.cuda.runtime.staging import Slot
from npresnet.errors import NpresnetError
from npresnet.network import Array
from npresnet.plan.shapes import Shape


class Times(NamedTuple):
    """Milliseconds of one batch: kernels compiled and loaded, by the host's clock; the others by the GPU's."""

    preparing: float = 0.0
    upload: float = 0.0
    gpu: float = 0.0
    download: float = 0.0


class Outcome(NamedTuple):
    """The results of one batch; they belong to the caller.

    values   (N, ...) float32: the network's result, such as logits
    ranking  None unless `top` was given: probabilities (N, classes) float32, rounded from float64, and the classes of
             the largest logits (N, top) int32, see `launchers.softmax_top_k`
    """

    values: Array
    ranking: tuple[Array, Array] | None
    times: Times


class Wanted(NamedTuple):
    """What is wanted of a batch: pixels of `images` images, results of `shape` each, and the best `top` classes."""

    images: int
    pixels_bytes: int
    shape: Shape
    top: int | None
    preparing_ms: float

    def parts(self) -> list[tuple[Shape, Any]]:
        """Shapes and dtypes of the results, which lie one behind the other."""
        parts: list[tuple[Shape, Any]] = [((self.images, *self.shape), np.float32)]
        if self.top is not None:
            parts += [(parts[0][0], np.float32), ((self.images, self.top), np.int32)]
        return parts

    @property
    def values_bytes(self) -> int:
        """Of the network's results alone."""
        return self.images * prod(self.shape) * FLOAT_BYTES

    @property
    def results_bytes(self) -> int:
        """Of all parts."""
        return sum(prod(shape) * FLOAT_BYTES for shape, _ in self.parts())

    def copies(self, results: Array) -> list[Array]:
        """The parts, copied out of bytes."""
        found, first = [], 0
        for shape, dtype in self.parts():
            end = first + prod(shape) * FLOAT_BYTES
            found.append(results[first:end].view(dtype).reshape(shape).copy())
            first = end
        return found


class Pending:
    """A submitted batch. Its slot is given back when its results, or its error, have come. Safe with threads.

    settle_streams  waits, after an error, until nothing writes to the slot any more
    """

    def __init__(self, gpu: Gpu, settle_streams: Callable[[], None]):
        self._gpu = gpu
        self._settle_streams = settle_streams
        self._lock = threading.Lock()
        self._slot: Slot | None = None
        self._wanted: Wanted | None = None
        self._outcome: Outcome | None = None
        self._error: NpresnetError | None = None

    def result(self) -> Outcome:
        """Wait for the batch. Raises, each time, the error that has ended it."""
        self.settle()
        if self._outcome is None:
            assert self._error is not None
            raise self._error
        return self._outcome

    def settle(self) -> None:
        """Wait until the slot is free; an error is kept for `result`."""
        with self._lock:
            if self._slot is None or self._wanted is None:
                return
            try:
                with self._gpu.active():
                    self._slot.download[1].synchronize()
                    times = self._slot.times_ms()
                with host_memory_errors():
                    values, *ranked = self._wanted.copies(self._slot.results)
                ranking = (ranked[0], ranked[1]) if ranked else None
                self._outcome = Outcome(values, ranking, Times(self._wanted.preparing_ms, *times))
            except NpresnetError as error:
                self._settle_streams()
                self._error = error
            self._slot = None

    def submitted(self, slot: Slot, wanted: Wanted) -> None:
        """All of its work has been put on the streams."""
        self._slot, self._wanted = slot, wanted

    def failed(self, error: NpresnetError) -> None:
        """Nothing of it is on its way."""
        self._error = error
