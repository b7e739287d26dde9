"""Schedule: what each worker runs of one image, and whom it waits for.

With one image and several threads every step's tiles are shared out: a worker takes neighbouring tiles of every step. A
tile may begin when the tiles of other workers that it depends on have ended, and not only when their whole step has:

                 step s            step s+1          step s+2
    worker 0    [ 1 ][ 0 ]--.     [ 1 ][ 0 ]--.     [ 1 ][ 0 ]        time goes to the right; the tile at the border
    worker 1    [ 2 ][ 3 ]   `--> [ 2 ][ 3 ]   `--> [ 2 ][ 3 ]        between the two workers is each worker's first

What a tile depends on is seen from the bytes of the arena that its calls read and write (`kernels` says which argument
is written); no operation has to declare it. Tiles of one step are independent. A tile of a later step waits for

    write, then read     for whoever made what it reads, with the rows beyond the border that its window sees
    read, then write     for whoever still reads the bytes that it writes: the arena gives memory away again
    write, then write    for the same reason

Bytes are compared as whole ranges, from a tile's first to its last, which may find a dependency too many (two halves of
an image's channels lie interleaved), never one too few.

A wait is a gate, a lock that is closed until the other worker opens it; passing closes it again, for the next image. As
a worker runs its tiles in order, only the last one needed of each other worker is waited for, and nothing that this worker
has waited for already, by itself or through a third worker. Each worker runs the tiles beside other workers' first: by the
time a neighbour asks for them they are long done, and to pass a gate that is open costs less than a microsecond, while
to be woken up costs 20 to 50.

When it is used: with fewer images than workers (`executable`). With as many, workers take whole images and never wait.

What it gained over a barrier after each step (one image, two threads, calls of both in turn, the median ratio of a
pair): on a Zen 4 (AMD EPYC, 2.6 GHz, OpenBLAS's AVX-512 kernels) resnet18 1.031 and 1.036, resnet50 1.020 and 1.022, in
two runs of 150 pairs each; on a Cascade Lake at 2.5 GHz 1.012 (95 % range 1.009 to 1.016) and 1.016 (1.008 to 1.037).
That is more than the 1.5 % for which a barrier would be worth its simplicity. What is left: the deep layers have one
tile a worker, each of which needs all of the layer before, so that workers still meet there, 7 and 17 times an image
each; to spin a while before going to sleep gained nothing. Binding takes 5 and 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.runtime.running import arithmetic, worker_of
from npresnet.cpu.runtime.workers import closed_gate, open_gate
from npresnet.network import Array
from npresnet.plan import Plan
from npresnet.plan.steps import Call, Tile

Span = tuple[int, int]  # addresses of the first byte, and of the first one after


class Touched(NamedTuple):
    """The bytes of the arena that a tile reads and writes."""

    reads: tuple[Span, ...]
    writes: tuple[Span, ...]


class Task(NamedTuple):
    """One tile in a worker's program.

    step, tile  which one of the plan
    touched     its bytes
    waits       {worker: how many tasks of that worker must have ended first}
    known       for every worker, how many of its tasks have ended for certain when this one has
    """

    step: int
    tile: int
    touched: Touched
    waits: dict[int, int]
    known: tuple[int, ...]


class Turn(NamedTuple):
    """A task as it is run: gates to pass, calls to make, gates to open."""

    passes: list[Any]
    calls: tuple[Call, ...]
    opens: list[Any]


class Job:
    """A plan for one image, shared between workers. For one image at a time; of no use any more after `abort`."""

    def __init__(self, plan: Plan, workers: int):
        self.plan = plan
        self.programs = make_programs(plan, make_schedule(plan, workers))
        self._aborted = False

    def run(self, worker: int) -> None:
        """One worker's part of one image, while all the others run theirs."""
        try:
            with arithmetic():
                for passes, calls, opens in self.programs[worker]:
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
        """Let every worker through the gate at which it waits, or to which it comes next, and end there."""
        self._aborted = True
        for program in self.programs:
            for turn in program:
                for gate in turn.opens:
                    open_gate(gate)


def make_programs(plan: Plan, schedule: Sequence[Sequence[Task]]) -> list[list[Turn]]:
    """Every worker's turns, with one closed gate for each wait."""
    programs = [[Turn([], plan.steps[task.step].tiles[task.tile], []) for task in tasks] for tasks in schedule]
    for tasks, program in zip(schedule, programs, strict=True):
        for task, turn in zip(tasks, program, strict=True):
            for worker, count in task.waits.items():
                gate = closed_gate()
                turn.passes.append(gate)
                programs[worker][count - 1].opens.append(gate)
    return programs


def make_schedule(plan: Plan, workers: int) -> list[list[Task]]:
    """Every worker's tasks in the order in which it runs them."""
    schedule: list[list[Task]] = [[] for _ in range(workers)]
    arena = owner(plan.input)
    for number, step in enumerate(plan.steps):
        before = [len(tasks) for tasks in schedule]
        for worker, tasks in enumerate(schedule):
            for tile in tiles_of(len(step.tiles), worker, workers):
                touched = touched_by(step.tiles[tile], arena)
                known = list(tasks[-1].known) if tasks else [0] * workers
                waits = waits_of(schedule, before, worker, touched, known)
                for other, count in waits.items():
                    known = list(map(max, known, schedule[other][count - 1].known))
                known[worker] = len(tasks) + 1
                tasks.append(Task(number, tile, touched, waits, tuple(known)))
    return schedule


def tiles_of(tiles: int, worker: int, workers: int) -> list[int]:
    """A worker's tiles of a step, those nearest to another worker's first."""
    own = [tile for tile in range(tiles) if worker_of(tile, tiles, workers) == worker]
    if not own:
        return []
    below = [own[0]] if own[0] > 0 else []
    above = [own[-1]] if own[-1] < tiles - 1 else []
    borders = [*below, *above]
    return sorted(own, key=lambda tile: min((abs(tile - border) for border in borders), default=0))


def waits_of(
    schedule: Sequence[Sequence[Task]], before: Sequence[int], worker: int, touched: Touched, known: Sequence[int]
) -> dict[int, int]:
    """Up to which task of each other worker a task must wait, beyond what is known; of the first `before` tasks only."""
    waits: dict[int, int] = {}
    for other, tasks in enumerate(schedule):
        if other != worker:
            candidates = range(before[other], known[other], -1)
            count = next((n for n in candidates if conflict(touched, tasks[n - 1].touched)), None)
            if count is not None:
                waits[other] = count
    through_others = [schedule[other][count - 1].known for other, count in waits.items()]
    return {
        other: count
        for other, count in waits.items()
        if sum(known[other] >= count for known in through_others) == 1  # that is the task waited for itself
    }


def conflict(a: Touched, b: Touched) -> bool:
    """Whether two tiles must keep their order: one writes what the other reads or writes."""
    return _meet(a.writes, b.writes) or _meet(a.writes, b.reads) or _meet(a.reads, b.writes)


def _meet(a: Sequence[Span], b: Sequence[Span]) -> bool:
    return any(start < end and first < stop for start, stop in a for first, end in b)


def touched_by(tile: Tile, arena: Array) -> Touched:
    """The bytes that a tile's calls touch inside `arena`; scratch belongs to a worker, and weights do not change."""
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
    """What a view's memory belongs to, beneath all its bases: `as_strided` puts one there that is no array."""
    found: Any = array
    while (base := getattr(found, "base", None)) is not None:
        found = base
    return found


def span(array: Array) -> Span:
    """The addresses between which all elements of a (not empty) view lie."""
    first: int = array.__array_interface__["data"][0]
    last = first
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            first += (length - 1) * stride
        else:
            last += (length - 1) * stride
    return first, last + array.itemsize


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same bytes in as few spans as cover them."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
