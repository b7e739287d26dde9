"""Whether workers keep out of each other's way, told from what they run alone: programs of calls and gates.

Nothing here asks `npresnet.cpu.runtime.schedule` what depends on what. Two checks with ideas of their own:

    races     exact: a shadow of the memory, where every number remembers who read and wrote it last
    unordered whole ranges of bytes, as NumPy sees them: any two tiles whose ranges meet, with nothing to order them
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from npresnet.cpu.runtime.schedule import Turn
from npresnet.plan import Plan

Program = Sequence[Turn]
Place = tuple[int, int, int]  # step, worker, number of the turn in the worker's program


def in_order(plan: Plan, programs: Sequence[Program]) -> list[Place]:
    """Every turn, step by step. Each tile of the plan is run once, and a worker runs its tiles in the plan's order."""
    step_of = {id(tile): number for number, step in enumerate(plan.steps) for tile in step.tiles}
    steps = [[step_of[id(turn.calls)] for turn in program] for program in programs]
    assert all(numbers == sorted(numbers) for numbers in steps)
    run = [id(turn.calls) for program in programs for turn in program]
    assert sorted(run) == sorted(step_of), "tiles are run twice, or never"
    return sorted((step, worker, turn) for worker, numbers in enumerate(steps) for turn, step in enumerate(numbers))


def clocks(places: Sequence[Place], programs: Sequence[Program]) -> dict[tuple[int, int], list[int]]:
    """For every turn (worker, number): how many turns of each worker have ended for certain when it begins."""
    opened = {id(gate): (worker, number) for worker, program in enumerate(programs)
              for number, turn in enumerate(program) for gate in turn.opens}  # fmt: skip
    passed = [id(gate) for program in programs for turn in program for gate in turn.passes]
    assert sorted(passed) == sorted(opened), "a gate that only one side knows is never closed, or never opened"
    found: dict[tuple[int, int], list[int]] = {}
    for _, worker, number in places:
        clock = list(found[worker, number - 1]) if number else [0] * len(programs)
        clock[worker] = number
        for gate in programs[worker][number].passes:
            other, before = opened[id(gate)]
            assert (other, before) in found, "a worker waits for a step that is not an earlier one"
            clock = list(map(max, clock, found[other, before]))
            clock[other] = max(clock[other], before + 1)
        found[worker, number] = clock
    return found


Pairs = list[tuple[Place, Place]]


def unordered(plan: Plan, programs: Sequence[Program], pairs: Pairs | None = None) -> Pairs:
    """Pairs of turns of different workers and steps that touch the same bytes, and that no gates keep in order.

    pairs  those that touch the same bytes, by default `meeting` finds them
    """
    places = in_order(plan, programs)
    known = clocks(places, programs)
    pairs = meeting(plan, programs, places) if pairs is None else pairs
    return [(a, b) for a, b in pairs if known[b[1:]][a[1]] <= a[2]]


def meeting(plan: Plan, programs: Sequence[Program], places: Sequence[Place]) -> Pairs:
    """Pairs of turns of different workers and steps, the earlier first, one of which writes where the other is."""
    touched = {place: _touched(plan, programs[place[1]][place[2]]) for place in places}
    return [
        (a, b) for a, b in combinations(places, 2) if a[0] != b[0] and a[1] != b[1] and _meet(touched[a], touched[b])
    ]


Arrays = list[tuple[np.ndarray, bool]]  # and whether it is written


def _touched(plan: Plan, turn: Turn) -> Arrays:
    found = {}
    for _, args in turn.calls:
        arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
        for array in arrays:
            if np.may_share_memory(array, _root(plan.input)):
                found[id(array), array is arrays[-1]] = array
    return [(array, written) for (_, written), array in found.items()]


def _meet(a: Arrays, b: Arrays) -> bool:
    return any((w or v) and np.may_share_memory(x, y) for x, w in a for y, v in b)


def _root(array: np.ndarray) -> np.ndarray:
    return array if array.base is None else _root(array.base)


def races(plan: Plan, programs: Sequence[Program]) -> list[tuple[Place, int]]:
    """(turn, other worker) wherever a turn touches a number that another worker writes, or writes one that it reads, with
    nothing to order them; of the whole memory, scratch included, and of tiles of one step too."""
    places = in_order(plan, programs)
    known, found = clocks(places, programs), []
    written = {id(_root(_target(args))) for program in programs for turn in program for _, args in turn.calls}
    shadows: dict[
        int, np.ndarray
    ] = {}  # (2, workers, floats): number of the worker's last turn that read, wrote; from 1
    for place in places:
        _, worker, number = place
        for _, args in programs[worker][number].calls:
            for array in (arg for arg in args if isinstance(arg, np.ndarray)):
                root = _root(array)
                if id(root) not in written or not array.size:
                    continue
                shadow = shadows.setdefault(id(root), np.zeros((2, len(programs), root.nbytes // 4 + 1), np.int32))
                seen = _seen(shadow, root, array)
                is_written = array is _target(args)
                for other in set(range(len(programs))) - {worker}:
                    latest = seen[0 if is_written else 1 :, other].max()
                    if latest > known[worker, number][other]:
                        found.append((place, other))
                seen[int(is_written), worker] = number + 1
    return found


def _target(args: tuple) -> np.ndarray:
    return [arg for arg in args if isinstance(arg, np.ndarray)][-1]


def _seen(shadow: np.ndarray, root: np.ndarray, array: np.ndarray) -> np.ndarray:
    """The shadow (2, workers, ...) of a view's own numbers; roots and their views lie on multiples of 4 bytes."""
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    shape, strides = (*shadow.shape[:2], *array.shape), (*shadow.strides[:2], *array.strides)
    return np.ndarray(shape, np.int32, shadow, offset // 4 * 4, strides)
