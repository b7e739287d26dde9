"""Stopwatch: times each step of a compiled network within a whole run, on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns

from npresnet.cpu.runtime.blas import guard
from npresnet.cpu.runtime.running import arithmetic, copy_in
from npresnet.network import Array
from npresnet.plan import Plan, Step


class Stopwatch:
    """Runs images (N, C, H, W) through the plans of one worker: a front for one image, a back for all.

    The back reads whatever its input holds, not the values of these images; its time does not depend on them.
    """

    def __init__(self, plans: Sequence[Plan], images: Array):
        self._plans = plans
        self._count = len(images)
        for plan in plans:
            if plan.input.shape[1:] == images.shape[1:]:
                copy_in(plan, images[: len(plan.input)])
            else:
                plan.input[...] = 0.5  # not zeros, which some processors multiply faster
        self.steps: Sequence[Step] = [step for plan in plans for step in plan.steps]
        self.images: Sequence[int] = [len(plan.input) for plan in plans for _ in plan.steps]

    def lap(self) -> list[float]:
        """One pass over all images: milliseconds of each step, the sum over its runs."""
        return guard.held(self._lap)  # BLAS on one thread

    def _lap(self) -> list[float]:
        with arithmetic():
            found: list[float] = []
            for plan in self._plans:
                runs = [[_time_ms(step) for step in plan.steps] for _ in range(self._count // len(plan.input))]
                found += [sum(times) for times in zip(*runs, strict=True)]
            return found


def _time_ms(step: Step) -> float:
    start_ns = perf_counter_ns()
    for tile in step.tiles:
        for kernel, args in tile:
            kernel(*args)
    return (perf_counter_ns() - start_ns) / 1e6
