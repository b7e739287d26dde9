"""Times of kernels by the GPU's own clock, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from npresnet.bench.timing import median, rotated
from npresnet.cuda import Gpu
from npresnet.cuda.runtime.gpu import Call

WARM_UP_REPEATS = 3
MOST_REPEATS = 2000


class Racer(NamedTuple):
    """Something to time. `time_ms(n)`: milliseconds of one run, the mean of n consecutive ones, by the GPU's clock."""

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

    def racer(self, name: str, calls: Sequence[Call]) -> Racer:
        """A racer that calls our kernels."""
        return Racer(name, lambda repeats: self.gpu.time_ms(calls, self.stream, repeats))

    def replayed(self, name: str, calls: Sequence[Call]) -> Racer:
        """A racer that replays calls of our kernels as one CUDA graph."""
        with self.gpu.active():
            self.gpu.run(calls, self.stream)
            self.stream.synchronize()
            graph = self.gpu.capture(calls, self.stream)

        def replay(grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
            graph.launch(self.stream)

        return self.racer(name, [Call(replay, (1, 1, 1), (1, 1, 1), (), 0)])

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


def _summary(times_ms: Sequence[float]) -> dict[str, float]:
    found = {"ms": median(times_ms), "lowest_ms": min(times_ms), "highest_ms": max(times_ms)}
    return {name: float(f"{value:.5g}") for name, value in found.items()}
