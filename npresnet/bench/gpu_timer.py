"""Times of kernels by the GPU's own clock, in interleaved rounds.

What is timed is a captured graph of many runs, never a Python loop of launches: a launch takes the host some
microseconds, as long as many a kernel runs.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from npresnet.bench.timing import median, rotated
from npresnet.cuda import Element, Gpu
from npresnet.cuda.elements import store
from npresnet.cuda.launch import Launch
from npresnet.cuda.runtime.gpu import Buffer, Call
from npresnet.network import Array

WARM_UP_S = 0.05  # for the clock to rise, some times as high as that of a GPU without work
WARM_UP_REPEATS = 3
MOST_REPEATS = 2000
GRAPH_MS = 2.0  # a graph holds as many runs as last so long: far more than its own launch takes the host
MOST_NODES = 4000  # of such a graph
HOPELESS = 3.0  # times the fastest's time, after one run: not measured further

RANDOM_NUMBERS = 1 << 20

T = TypeVar("T")


class Racer(NamedTuple):
    """Something to time. `time_ms(n)`: milliseconds of one run, the mean of at least n, by the GPU's clock."""

    name: str
    time_ms: Callable[[int], float]


@dataclass(frozen=True)
class GpuTimer:
    """The GPU, and the duration of measurements.

    emulated    the GPU is the tests' emulator: shapes are tiny, and nothing is timed
    quick       few rounds, for a first impression
    rounds      interleaved, each of round_ms for every racer
    """

    gpu: Gpu
    stream: Any
    emulated: bool = False
    quick: bool = False

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 9

    @property
    def round_ms(self) -> float:
        return 50.0 if self.quick else 200.0

    def replayed(self, name: str, calls: Sequence[Call], copies: int | None = None) -> Racer:
        """A racer that replays one CUDA graph of `copies` runs of the calls; None: as many as last GRAPH_MS.

        The calls run before they are captured, for a kernel's first launch may load it.
        """
        once_ms = self.once_ms(calls)
        if copies is None:
            copies = 1 if self.emulated else _copies(once_ms, len(calls))
        with self.gpu.active():
            graph = self.gpu.capture(list(calls) * copies, self.stream)

        def replay(grid: Any, block: Any, args: Any, *, shared_mem: int = 0, stream: Any) -> None:
            graph.launch(stream)

        whole = [Call(replay, (1, 1, 1), (1, 1, 1), (), 0)]
        return Racer(name, lambda runs: self.gpu.time_ms(whole, self.stream, -(-runs // copies)) / copies)

    def bind_each(self, contenders: Mapping[T, Sequence[Launch]]) -> dict[T, list[Call]]:
        """The calls of each contender; what has to be compiled is compiled side by side."""
        calls = iter(self.gpu.bind([launch for launches in contenders.values() for launch in launches]))
        return {one: list(islice(calls, len(launches))) for one, launches in contenders.items()}

    def once_ms(self, calls: Sequence[Call]) -> float:
        """Milliseconds of one run after one that is not timed, what the launches take the host included."""
        if self.emulated:
            with self.gpu.active():
                self.gpu.run(calls, self.stream)
                self.stream.synchronize()
            return 0.0
        self.gpu.time_ms(calls, self.stream)
        return self.gpu.time_ms(calls, self.stream)

    def sift(self, contenders: Mapping[T, Sequence[Call]]) -> tuple[dict[T, float], list[T]]:
        """(milliseconds of one run of each, those that are not HOPELESS times slower than the fastest).

        The first runs for a while before, not timed: an idle GPU has a low clock.
        """
        self._warm_up(next(iter(contenders.values()), ()))
        once = {one: self.once_ms(calls) for one, calls in contenders.items()}
        limit = HOPELESS * min(once.values(), default=0.0)
        return once, [one for one, ms in once.items() if ms <= limit]

    def _warm_up(self, calls: Sequence[Call]) -> None:
        """Keep the GPU at work until its clock has risen."""
        end_s = time.perf_counter() + (0.0 if self.emulated else WARM_UP_S)
        while time.perf_counter() < end_s:
            self.once_ms(calls)

    def race(self, racers: Sequence[Racer]) -> dict[str, dict[str, float]]:
        """{name: {"ms", "lowest_ms", "highest_ms"}}: the median round of each, and the extremes.

        Rounds are interleaved, so that a GPU that heats up slows down every racer alike. On the emulator each racer
        runs once, without a time.
        """
        if self.emulated:
            for racer in racers:
                racer.time_ms(1)
            self.stream.synchronize()
            return {racer.name: {} for racer in racers}
        repeats = {racer.name: self._repeats(racer) for racer in racers}
        times: dict[str, list[float]] = {racer.name: [] for racer in racers}
        for number in range(self.rounds):
            for racer in rotated(racers, number):
                times[racer.name].append(racer.time_ms(repeats[racer.name]))
        return {name: _summary(found) for name, found in times.items()}

    def _repeats(self, racer: Racer) -> int:
        racer.time_ms(WARM_UP_REPEATS)
        return max(1, min(MOST_REPEATS, round(self.round_ms / max(racer.time_ms(WARM_UP_REPEATS), 1e-3))))


def random_numbers(gpu: Gpu, stream: Any, count: int, element: Element) -> Buffer:
    """Normal ones on the GPU, RANDOM_NUMBERS distinct ones again and again: zeros would use less power."""
    size_bytes = count * element.item_bytes
    buffer, some = gpu.allocate(size_bytes, "random numbers: this"), _some_numbers(element)[:count]
    with gpu.active():
        gpu.upload(buffer.address, some, stream)
        done = some.nbytes
        while done < size_bytes:
            more = min(done, size_bytes - done)
            gpu.copy(buffer.address + done, buffer.address, more, stream)
            done += more
        stream.synchronize()
    return buffer


@functools.cache
def _some_numbers(element: Element) -> Array:
    return store(np.random.default_rng(0).standard_normal(RANDOM_NUMBERS, dtype=np.float32), element)


def _copies(once_ms: float, calls: int) -> int:
    """How many runs of so many calls a graph holds."""
    return max(1, min(math.ceil(GRAPH_MS / max(once_ms, 1e-3)), MOST_NODES // max(1, calls)))


def _summary(times_ms: Sequence[float]) -> dict[str, float]:
    found = {"ms": median(times_ms), "lowest_ms": min(times_ms), "highest_ms": max(times_ms)}
    return {name: float(f"{value:.5g}") for name, value in found.items()}
