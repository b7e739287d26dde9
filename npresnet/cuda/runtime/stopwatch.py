"""Stopwatch: the steps of a compiled network, each timed in its place in the whole by the GPU's own clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from npresnet.plan import Step
from npresnet.plan.shapes import Shape


class Stopwatch:
    """Runs images (N, C, H, W) chunk by chunk; implements `plan.executable.Stopwatch`.

    steps_of  (shape of one image, number of images) -> steps
    time      a chunk -> milliseconds of each of its steps

    Chunks of one size run the same steps, whose times are added up; a smaller last chunk has steps of its own.
    """

    def __init__(
        self,
        steps_of: Callable[[Shape, int], Sequence[Step]],
        time: Callable[[Any], list[float]],
        chunks: Sequence[Any],
    ):
        self._time = time
        self._chunks = chunks
        shapes = dict.fromkeys((len(chunk), *chunk.shape[1:]) for chunk in chunks)
        found = [(step, size) for size, *shape in shapes for step in steps_of(tuple(shape), size)]
        self.steps: Sequence[Step] = [step for step, _ in found]
        self.images: Sequence[int] = [size for _, size in found]

    def lap(self) -> list[float]:
        """One pass over all images: milliseconds of each step, of all of its runs together."""
        times: dict[int, list[list[float]]] = {}
        for chunk in self._chunks:
            times.setdefault(len(chunk), []).append(self._time(chunk))
        return [sum(runs) for laps in times.values() for runs in zip(*laps, strict=True)]
