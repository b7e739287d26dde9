"""Schedule: which tiles of one image each worker runs, and which other workers it waits for.

With one image and several workers, the tiles of every step are divided between them: a worker takes neighbouring tiles
of every step. A tile may start as soon as the other workers' tiles that it depends on have ended, before their whole
step has:

                 step s            step s+1          step s+2
    worker 0    [ 1 ][ 0 ]--.     [ 1 ][ 0 ]--.     [ 1 ][ 0 ]        time goes to the right; the tile at the border
    worker 1    [ 2 ][ 3 ]   `--> [ 2 ][ 3 ]   `--> [ 2 ][ 3 ]        between the two workers is each worker's first

Dependencies are derived from the bytes of the arena that a tile's calls read and write (`calls` defines which argument
is written); no operation declares them. Tiles of one step are independent, except that a tile behind one of the step's
barriers waits for all tiles before it. A tile of a later step waits for

    write, then read     the tiles that write what it reads, including the rows of its window beyond the border
    read, then write     the tiles that still read the bytes that it writes: the arena reuses memory
    write, then write    for the same reason

Bytes are compared as contiguous ranges, from a tile's first to its last, which may report a false dependency (the two
halves of an image's channels are interleaved) but never misses one.

A wait is a gate, a lock that is closed until the other worker opens it; passing closes it again, for the next image.
Because a worker runs its tiles in order, it waits only for the last tile needed of each other worker, and for nothing
implied by an earlier wait, its own or a third worker's. Each worker runs the tiles next to other workers' first: they
are usually complete before a neighbour needs them, and passing an open gate costs less than a microsecond, while waking
a thread costs 20 to 50.

When it is used: for images that remain once workers have equal numbers of whole ones (`compiler.split`).

Gain over a barrier after each step (one image, two threads, alternating calls, the median ratio of a pair): on a Zen 4
(AMD EPYC, 2.6 GHz, OpenBLAS's AVX-512 kernels) resnet18 1.031 and 1.036, resnet50 1.020 and 1.022, in two runs of 150
pairs each; on a Cascade Lake at 2.5 GHz 1.012 (95 % range 1.009 to 1.016) and 1.016 (1.008 to 1.037). That is more than
the 1.5 % for which a barrier would be worth its simplicity. Remaining cost: the deep layers have one tile a worker,
each of which needs all of the previous layer, so that workers still synchronise there, 7 and 17 times an image;
spinning before sleeping gained nothing. Binding takes 5 and 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.runtime.running import arithmetic, worker_of
from npresnet.network import Array
from npresnet.plan import Plan
from npresnet.plan.steps import Call, Tile
from npresnet.system.threads import closed_gate, open_gate

Span = tuple[int, int]  # addresses of the first byte, and of the first one after


class Touched(NamedTuple):
    """The bytes of the arena that a tile reads and writes."""

    reads: tuple[Span, ...]
    writes: tuple[Span, ...]


class Task(NamedTuple):
    """One tile in a worker's schedule.

    step, tile  its indices in the plan
    touched     its bytes
    waits       {worker: how many tasks of that worker must have ended first}
    known       for every worker, how many of its tasks have certainly ended when this one has
    """

    step: int
    tile: int
    touched: Touched
    waits: dict[int, int]
    known: tuple[int, ...]


class Turn(NamedTuple):
    """An executable task: gates to pass, calls to make, gates to open."""

    passes: list[Any]
    calls: tuple[Call, ...]
    opens: list[Any]


class Job:
    """A plan for one image, shared between workers. Runs one image at a time; unusable after `abort`."""

    def __init__(self, plan: Plan, workers: int):
        self.plan = plan
        self.turns = make_turns(plan, make_schedule(plan, workers))  # of each worker
        self._aborted = False

    def run(self, worker: int) -> None:
        """One worker's part of one image, while all the others run theirs."""
        try:
            with arithmetic():
                for passes, calls, opens in self.turns[worker]:
                    for gate in passes:
                        gate.acquire()
                        if self._aborted:
                            return
                    for kernel, args in calls:
                        kernel(*args)
                    for gate in opens:
                        open_gate(gate)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Open all gates, so that every worker stops at its current or next one."""
        self._aborted = True
        for turns in self.turns:
            for turn in turns:
                for gate in turn.opens:
                    open_gate(gate)


def make_turns(plan: Plan, schedule: Sequence[Sequence[Task]]) -> list[list[Turn]]:
    """Every worker's turns, with one closed gate for each wait."""
    turns = [[Turn([], plan.steps[task.step].tiles[task.tile], []) for task in tasks] for tasks in schedule]
    for tasks, own in zip(schedule, turns, strict=True):
        for task, turn in zip(tasks, own, strict=True):
            for worker, count in task.waits.items():
                gate = closed_gate()
                turn.passes.append(gate)
                turns[worker][count - 1].opens.append(gate)
    return turns


def make_schedule(plan: Plan, workers: int) -> list[list[Task]]:
    """Every worker's tasks in execution order."""
    schedule: list[list[Task]] = [[] for _ in range(workers)]
    arena = owner(plan.input)
    for number, step in enumerate(plan.steps):
        started = [len(tasks) for tasks in schedule]
        for first, last in step.phases():
            before = [len(tasks) for tasks in schedule]
            for worker, tasks in enumerate(schedule):
                for tile in tiles_of(last - first, worker, workers):
                    touched = touched_by(step.tiles[first + tile], arena)
                    known = list(tasks[-1].known) if tasks else [0] * workers
                    waits = waits_of(schedule, started, before, worker, touched, known)
                    for other, count in waits.items():
                        known = list(map(max, known, schedule[other][count - 1].known))
                    known[worker] = len(tasks) + 1
                    tasks.append(Task(number, first + tile, touched, waits, tuple(known)))
    return schedule


def tiles_of(tiles: int, worker: int, workers: int) -> list[int]:
    """A worker's tiles of a step, those closest to another worker's first."""
    own = [tile for tile in range(tiles) if worker_of(tile, tiles, workers) == worker]
    if not own:
        return []
    below = [own[0]] if own[0] > 0 else []
    above = [own[-1]] if own[-1] < tiles - 1 else []
    borders = [*below, *above]
    return sorted(own, key=lambda tile: min((abs(tile - border) for border in borders), default=0))


def waits_of(
    schedule: Sequence[Sequence[Task]],
    started: Sequence[int],
    before: Sequence[int],
    worker: int,
    touched: Touched,
    known: Sequence[int],
) -> dict[int, int]:
    """{worker: number of its first `before` tasks that must end first}, without waits implied by `known`.

    Those after its first `started` are of the same step, before a barrier.
    """
    waits: dict[int, int] = {}
    for other, tasks in enumerate(schedule):
        if other != worker:
            candidates = range(before[other], known[other], -1)
            count = next((n for n in candidates if n > started[other] or conflict(touched, tasks[n - 1].touched)), None)
            if count is not None:
                waits[other] = count
    through_others = [schedule[other][count - 1].known for other, count in waits.items()]
    return {
        other: count
        for other, count in waits.items()
        if sum(known[other] >= count for known in through_others) == 1  # only the task itself implies it
    }


def conflict(a: Touched, b: Touched) -> bool:
    """Whether two tiles must keep their order: one writes what the other reads or writes."""
    return _overlap(a.writes, b.writes) or _overlap(a.writes, b.reads) or _overlap(a.reads, b.writes)


def _overlap(a: Sequence[Span], b: Sequence[Span]) -> bool:
    return any(start < end and first < stop for start, stop in a for first, end in b)


def touched_by(tile: Tile, arena: Array) -> Touched:
    """The bytes that a tile's calls access in `arena`; scratch is private to a worker, and weights are constant."""
    read: dict[int, Array] = {}
    written: dict[int, Array] = {}
    for _, args in tile:
        *sources, target = [arg for arg in args if isinstance(arg, np.ndarray)]
        read.update((id(source), source) for source in sources)
        written[id(target)] = target
    return Touched(_spans(read.values(), arena), _spans(written.values(), arena))


def _spans(arrays: Iterable[Array], arena: Array) -> tuple[Span, ...]:
    return merge(span(array) for array in arrays if array.size and owner(array) is arena)


def owner(array: Array) -> Any:
    """The object that owns a view's memory, below all bases, one of which is not an array with `as_strided`."""
    found: Any = array
    while (base := getattr(found, "base", None)) is not None:
        found = base
    return found


def span(array: Array) -> Span:
    """The range of addresses that holds all elements of a (non-empty) view."""
    first: int = array.__array_interface__["data"][0]
    last = first
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            first += (length - 1) * stride
        else:
            last += (length - 1) * stride
    return first, last + array.itemsize


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same bytes in as few spans as possible."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
