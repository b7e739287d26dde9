"""What every stage of the GPU report works with: the GPU, how long to measure, which sizes, the clock."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from npresnet.bench.timing import median, rotated
from npresnet.cuda import ELEMENTS, Gpu
from npresnet.cuda.runtime import nvrtc
from npresnet.cuda.runtime.gpu import Call

if TYPE_CHECKING:
    from npresnet.bench.gpu_torch import Peer

WARM_UP_REPEATS = 3
MOST_REPEATS = 2000


class Racer(NamedTuple):
    """Something to time. `time_ms(n)`: milliseconds of one run, the mean of n in a row, by the GPU's own clock."""

    name: str
    time_ms: Callable[[int], float]


@dataclass(frozen=True)
class Bench:
    """Where and how to measure.

    peer        PyTorch on the same GPU, or None
    precisions  those that are looked at
    emulated    the GPU is the tests' emulator: shapes are tiny, and no time is taken
    quick       few rounds, few cases: a first look
    rounds      interleaved, each of round_ms for everybody who races
    """

    gpu: Gpu
    stream: Any
    peer: Peer | None = None
    precisions: Sequence[str] = tuple(ELEMENTS)
    emulated: bool = False
    quick: bool = False

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 9

    @property
    def round_ms(self) -> float:
        return 50.0 if self.quick else 200.0

    @property
    def image_size(self) -> int:
        return 16 if self.emulated else 224

    def networks(self, wanted: Sequence[str]) -> list[str]:
        """Of the networks wanted: on the emulator, where those would take minutes, the smallest there is instead."""
        return ["cifar_resnet8"] if self.emulated else list(wanted)

    def dtypes(self, wanted: Iterable[str]) -> list[str]:
        """Of the precisions wanted, those that are looked at."""
        return [dtype for dtype in wanted if dtype in self.precisions]

    def batches(self, wanted: Sequence[int]) -> list[int]:
        """Of the batch sizes wanted: on the emulator only 2, at a quick look the least and the largest."""
        if self.emulated:
            return [2]
        return sorted({min(wanted), max(wanted)}) if self.quick else list(wanted)

    def racer(self, name: str, calls: Sequence[Call]) -> Racer:
        """Calls of our kernels."""
        return Racer(name, lambda repeats: self.gpu.time_ms(calls, self.stream, repeats))

    def replayed(self, name: str, calls: Sequence[Call]) -> Racer:
        """Calls of our kernels as one CUDA graph."""
        with self.gpu.active():
            self.gpu.run(calls, self.stream)
            self.stream.synchronize()
            graph = self.gpu.capture(calls, self.stream)

        def replay(grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
            graph.launch(self.stream)

        return self.racer(name, [Call(replay, (1, 1, 1), (1, 1, 1), (), 0)])

    def race(self, racers: Sequence[Racer]) -> dict[str, dict[str, Any]]:
        """{name: {"ms", "lowest_ms", "highest_ms"}}: the median round of each, and the extremes.

        Rounds are interleaved, so that a GPU that grows warm slows down everybody alike. On the emulator everybody
        runs once, and has no time.
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

    def describe(self) -> dict[str, Any]:
        """The GPU and the libraries, for the results file."""
        gpu = self.gpu
        found: dict[str, Any] = {
            "name": gpu.name,
            "capability": gpu.capability,
            "multiprocessors": gpu.multiprocessors,
            "memory_gb": round(gpu.memory_bytes / 1e9, 1),
            "emulated": self.emulated,
            "versions": _versions(None if self.emulated else gpu.cuda_major),
        }
        if self.peer is not None:
            found["versions"] |= self.peer.versions
        return found if self.emulated else found | _driver()


def _summary(times_ms: Sequence[float]) -> dict[str, Any]:
    found = {"ms": median(times_ms), "lowest_ms": min(times_ms), "highest_ms": max(times_ms)}
    return {name: float(f"{value:.5g}") for name, value in found.items()}


def _versions(cuda_major: int | None) -> dict[str, str]:
    found = {}
    for package in ("npresnet", "numpy", "cupy-cuda12x", "cupy-cuda13x"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if cuda_major is not None:
        found["nvrtc"] = ".".join(map(str, nvrtc.version(cuda_major)))
    return found


def _driver() -> dict[str, str]:
    """What nvidia-smi says of the driver and of the limits of power and clock; {} where it is not there."""
    fields = ("driver_version", "power.limit", "clocks.max.sm", "clocks.max.memory")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", "--id=0"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(fields, (word.strip() for word in told.split(",")), strict=False))
