"""Plans for tests of the schedule: made by hand on an arena of 100 numbers, and of real networks."""

from __future__ import annotations

from functools import cache

import numpy as np

from npresnet import arch, cpu, passes
from npresnet.plan import Plan, Step
from npresnet.plan.steps import Tile

ARENA = np.zeros(100, np.float32)


def tile(written: range, *read: range) -> Tile:
    """A tile that writes a range of the arena after reading others."""
    return ((lambda *arrays: None, tuple(ARENA[part.start : part.stop] for part in (*read, written))),)


def plan_of(*steps: list[Tile]) -> Plan:
    """A plan with its image in the arena's first four numbers."""
    made = tuple(Step(f"step {number}", tuple(tiles), 0, 0) for number, tiles in enumerate(steps))
    return Plan(ARENA[:4].reshape(1, 1, 2, 2), made, {}, ARENA.nbytes)


@cache
def executable(name: str) -> cpu.Executable:
    network = arch.build(arch.random_tensors(name, num_classes=10))[0]
    return cpu.compile(passes.optimize(network), threads=2)
