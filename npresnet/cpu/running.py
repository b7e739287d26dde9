"""How a plan is run: by one thread from end to end, or each step's tiles shared between lanes.

Arithmetic is silent, as in every other engine: infinities and NaN come out as they do in IEEE 754, and neither a
warning nor the caller's `numpy.seterr` decides whether an image has a result, for that would depend on the lane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npresnet.cpu.team import Barrier
from npresnet.network import Array
from npresnet.plan import Plan
from npresnet.plan.steps import Call

Share = tuple[tuple[Call, ...], ...]  # one lane's calls, step by step


@dataclass(frozen=True)
class Job:
    """A plan, and what each lane does of it."""

    plan: Plan
    shares: tuple[Share, ...]

    @classmethod
    def of(cls, plan: Plan, lanes: int) -> Job:
        return cls(plan, tuple(share_of(plan, lane, lanes) for lane in range(lanes)))


def run_image(job: Job, images: Array, outputs: dict[str, Array], index: int) -> None:
    """Image number `index` of images (N, C, H, W), through the whole plan, into the same place of the outputs."""
    copy_in(job.plan, images, index)
    with np.errstate(all="ignore"):
        for calls in job.shares[0]:
            for kernel, args in calls:
                kernel(*args)
    copy_out(job.plan, outputs, index)


def copy_in(plan: Plan, images: Array, index: int) -> None:
    with np.errstate(all="ignore"):  # a float64 pixel beyond float32 becomes infinity
        np.copyto(plan.input, images[index], casting="same_kind")


def copy_out(plan: Plan, outputs: dict[str, Array], index: int) -> None:
    for asked, value in plan.outputs.items():
        np.copyto(outputs[asked][index], value)


def lane_of(tile: int, tiles: int, lanes: int) -> int:
    """The lane that runs tile number `tile` of `tiles`: neighbours go to the same lane."""
    return tile * lanes // tiles


def share_of(plan: Plan, lane: int, lanes: int) -> Share:
    """The calls of every step that this lane makes."""
    return tuple(
        tuple(
            call
            for number, tile in enumerate(step.tiles)
            if lane_of(number, len(step.tiles), lanes) == lane
            for call in tile
        )
        for step in plan.steps
    )


def run_share(share: Share, barrier: Barrier, lane: int) -> None:
    """One lane's part of one image: its calls of a step, then wait until every lane has ended that step."""
    try:
        with np.errstate(all="ignore"):
            for calls in share:
                for kernel, args in calls:
                    kernel(*args)
                if not barrier.wait(lane):
                    return
    except BaseException:
        barrier.abort()
        raise
