"""How a thread runs plans from end to end, alone. (How workers share one image stands in `schedule`.)

Arithmetic is silent, as in every other engine: neither a warning nor the caller's `numpy.seterr` decides whether an
image has a result, for that would depend on the worker. Infinities and NaN come out as IEEE 754 has them, of the sums
that are computed: where those multiply by zeros too (groups that share a block, Winograd's transforms), an infinity
becomes NaN in its neighbours as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from npresnet.network import Array
from npresnet.plan import Plan

BUFFER = 1024  # elements of NumPy's buffers
CUT = "(cut)"  # the name under which a network's front gives the value that its back reads: no module is called so


@contextmanager
def arithmetic() -> Iterator[None]:
    """Silence, and small buffers, in this thread; its own settings come back.

    What it gained: of rows that fit its buffer twice, NumPy copies the one that is added to all of them (a bias, or the
    zeros of a ReLU) before each addition. With its usual 8192 elements adding a row of 3584 takes 1.9 times as long, a
    resnet18 at batch 8 1.011, a resnet50 1.013 (2.5 GHz Cascade Lake, 2 threads, in turn in one run; batch 1 1.005).
    """
    with np.errstate(all="ignore"):
        before = np.setbufsize(BUFFER)
        try:
            yield
        finally:
            np.setbufsize(before)


def run_group(
    front: Plan, back: Plan | None, images: Array, outputs: Mapping[str, Array], first: int, last: int
) -> None:
    """Images first..last-1 of (N, C, H, W), into the same places of the outputs.

    front  for one image, run for each of them
    back   for all of them, run once, where the network is cut in two (see `stages`); None where the front is everything
    """
    for index in range(first, last):
        copy_in(front, images[index : index + 1])
        run_plan(front)
        copy_out(front, outputs, index, index + 1)
        if back is not None:
            np.copyto(back.input[index - first], front.outputs[CUT][0])
    if back is not None:
        run_plan(back)
        copy_out(back, outputs, first, last)


def run_plan(plan: Plan) -> None:
    """All calls of all steps, in this thread."""
    with arithmetic():
        for step in plan.steps:
            for tile in step.tiles:
                for kernel, args in tile:
                    kernel(*args)


def copy_in(plan: Plan, images: Array) -> None:
    """As many images (n, C, H, W) as the plan is for, channel by channel.

    All at once, NumPy's inner loop would go along the three channels, and take three times as long.
    """
    with np.errstate(all="ignore"):  # a float64 pixel beyond float32 becomes infinity
        for channel in range(images.shape[1]):
            np.copyto(plan.input[:, channel], images[:, channel], casting="same_kind")


def copy_out(plan: Plan, outputs: Mapping[str, Array], first: int, last: int) -> None:
    """What the plan gives of the asked outputs, to their places first..last-1."""
    for asked, value in plan.outputs.items():
        if asked in outputs:
            np.copyto(outputs[asked][first:last], value)


def worker_of(tile: int, tiles: int, workers: int) -> int:
    """The worker that runs tile number `tile` of `tiles`: neighbours go to the same worker."""
    return tile * workers // tiles
