"""Whether workers avoid conflicts, judged only by what they run: turns of calls and gates.

These checks are independent of the dependencies that `npresnet.cpu.runtime.schedule` finds:

    races     exact: a shadow of the memory, which records the last reader and writer of every number
    unordered whole ranges of bytes, by NumPy's bounds: any two tiles whose ranges overlap, without an order
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from npresnet.cpu.runtime.schedule import Turn
from npresnet.plan import Plan

Turns = Sequence[Turn]
Place = tuple[int, int, int]  # step or phase of one, worker, number of the turn in its sequence


def in_order(plan: Plan, all_turns: Sequence[Turns]) -> list[Place]:
    """Every turn, step by step; the phases of a step, between barriers, are as steps. Each tile of the plan runs once,
    and a worker runs its tiles in the plan's order."""
    phases = [step.tiles[first:last] for step in plan.steps for first, last in step.phases()]
    step_of = {id(tile): number for number, tiles in enumerate(phases) for tile in tiles}
    steps = [[step_of[id(turn.calls)] for turn in turns] for turns in all_turns]
    assert all(numbers == sorted(numbers) for numbers in steps)
    run = [id(turn.calls) for turns in all_turns for turn in turns]
    assert sorted(run) == sorted(step_of), "tiles are run twice, or never"
    return sorted((step, worker, turn) for worker, numbers in enumerate(steps) for turn, step in enumerate(numbers))


def clocks(places: Sequence[Place], all_turns: Sequence[Turns]) -> dict[tuple[int, int], list[int]]:
    """For every turn (worker, number): how many turns of each worker have certainly ended when it begins."""
    opened = {id(gate): (worker, number) for worker, turns in enumerate(all_turns)
              for number, turn in enumerate(turns) for gate in turn.opens}  # fmt: skip
    passed = [id(gate) for turns in all_turns for turn in turns for gate in turn.passes]
    assert sorted(passed) == sorted(opened), "a gate that only one side knows is never closed, or never opened"
    found: dict[tuple[int, int], list[int]] = {}
    for _, worker, number in places:
        clock = list(found[worker, number - 1]) if number else [0] * len(all_turns)
        clock[worker] = number
        for gate in all_turns[worker][number].passes:
            other, before = opened[id(gate)]
            assert (other, before) in found, "a worker waits for a step that is not an earlier one"
            clock = list(map(max, clock, found[other, before]))
            clock[other] = max(clock[other], before + 1)
        found[worker, number] = clock
    return found


Pairs = list[tuple[Place, Place]]


def unordered(plan: Plan, all_turns: Sequence[Turns], pairs: Pairs | None = None) -> Pairs:
    """Pairs of turns of different workers and steps that access the same bytes, and that no gates order.

    pairs  those that access the same bytes, by default found by `overlapping`
    """
    places = in_order(plan, all_turns)
    known = clocks(places, all_turns)
    pairs = overlapping(plan, all_turns, places) if pairs is None else pairs
    return [(a, b) for a, b in pairs if known[b[1:]][a[1]] <= a[2]]


def overlapping(plan: Plan, all_turns: Sequence[Turns], places: Sequence[Place]) -> Pairs:
    """Pairs of turns of different workers and steps, the earlier first, of which one writes bytes of the other."""
    touched = {place: _touched(plan, all_turns[place[1]][place[2]]) for place in places}
    return [
        (a, b) for a, b in combinations(places, 2) if a[0] != b[0] and a[1] != b[1] and _overlap(touched[a], touched[b])
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


def _overlap(a: Arrays, b: Arrays) -> bool:
    return any((w or v) and np.may_share_memory(x, y) for x, w in a for y, v in b)


def _root(array: np.ndarray) -> np.ndarray:
    return array if array.base is None else _root(array.base)


def races(plan: Plan, all_turns: Sequence[Turns]) -> list[tuple[Place, int]]:
    """(turn, other worker) for each number that a turn accesses and another worker writes, or writes and another reads,
    without an order; in all memory, scratch included, and also between tiles of one step."""
    places = in_order(plan, all_turns)
    known, found = clocks(places, all_turns), []
    written = {id(_root(_target(args))) for turns in all_turns for turn in turns for _, args in turn.calls}
    shadows: dict[
        int, np.ndarray
    ] = {}  # (2, workers, floats): number of the worker's last turn that read, wrote; from 1
    for place in places:
        _, worker, number = place
        for _, args in all_turns[worker][number].calls:
            for array in (arg for arg in args if isinstance(arg, np.ndarray)):
                root = _root(array)
                if id(root) not in written or not array.size:
                    continue
                shadow = shadows.setdefault(id(root), np.zeros((2, len(all_turns), root.nbytes // 4 + 1), np.int32))
                seen = _seen(shadow, root, array)
                is_written = array is _target(args)
                for other in set(range(len(all_turns))) - {worker}:
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
