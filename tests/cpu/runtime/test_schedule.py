"""The waits of workers that share an image, on plans made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.schedule import Job, make_schedule, span, tiles_of
from npresnet.plan import Plan
from npresnet.plan.steps import Tile
from tests.support.plans import ARENA, plan_of, tile
from tests.support.workers import races


def waits(plan: Plan, workers: int = 2) -> list[tuple[str, str]]:
    """(waiting tile, awaited tile), each as "worker.step.tile"."""
    schedule = make_schedule(plan, workers)
    found = []
    for worker, tasks in enumerate(schedule):
        for task in tasks:
            for other, count in task.waits.items():
                before = schedule[other][count - 1]
                found.append((f"{worker}.{task.step}.{task.tile}", f"{other}.{before.step}.{before.tile}"))
    return sorted(found)


LEFT, RIGHT, NEW_LEFT, NEW_RIGHT = range(10, 20), range(20, 30), range(30, 40), range(40, 50)
IMAGE = range(4)


def first_step() -> list[Tile]:
    return [tile(LEFT, IMAGE), tile(RIGHT, IMAGE)]


def test_independent_workers_never_wait():
    assert waits(plan_of(first_step(), [tile(NEW_LEFT, LEFT), tile(NEW_RIGHT, RIGHT)])) == []


def test_a_read_waits_for_the_write():
    halo = range(10, 21)  # one number beyond the border
    assert waits(plan_of(first_step(), [tile(NEW_LEFT, halo), tile(NEW_RIGHT, RIGHT)])) == [("0.1.0", "1.0.1")]


def test_a_write_waits_for_the_last_read_of_reused_memory():
    reads = [tile(NEW_LEFT, LEFT, RIGHT), tile(NEW_RIGHT, RIGHT)]
    again = [tile(range(50, 60)), tile(RIGHT)]
    found = waits(plan_of(first_step(), reads, again))
    assert found == [("0.1.0", "1.0.1"), ("1.2.1", "0.1.0")]


def test_a_write_waits_for_an_earlier_write():
    assert waits(plan_of(first_step(), [tile(range(29, 35)), tile(range(60, 70))])) == [("0.1.0", "1.0.1")]


def test_a_call_in_place_writes_what_it_reads():
    whole = range(10, 30)
    in_place = [tile(RIGHT, RIGHT), tile(range(60, 70))]
    assert waits(plan_of(first_step(), in_place, [tile(range(70, 80)), tile(range(80, 90), whole)])) == [
        ("0.1.0", "1.0.1"),
        ("1.2.1", "0.1.0"),
    ]


def test_a_strided_view_of_the_arena_is_a_read_of_it():
    """NumPy's `as_strided` puts an object that is not an array between a view and its array."""
    strided = as_strided(ARENA[LEFT.start :], (8, 3), (ARENA.itemsize, ARENA.itemsize))  # as im2col sees a row
    reader: Tile = ((lambda *arrays: None, (strided, ARENA[NEW_RIGHT.start : NEW_RIGHT.stop])),)
    assert waits(plan_of(first_step(), [tile(NEW_LEFT, IMAGE), reader])) == [("1.1.1", "0.0.0")]


def test_a_worker_waits_once_for_what_it_needs_twice():
    needs_both = [tile(range(50, 60), RIGHT), tile(range(60, 70), LEFT)]
    once_more = [tile(range(70, 80), RIGHT), tile(range(80, 90), LEFT)]
    assert waits(plan_of(first_step(), needs_both, once_more)) == [("0.1.0", "1.0.1"), ("1.1.1", "0.0.0")]


def test_the_latest_tile_stands_for_those_before_it():
    """Worker 1 runs its tiles 2 and 3 in that order: waiting for 3 implies waiting for 2."""
    parts = [range(10 * n, 10 * n + 10) for n in range(1, 5)]
    joined = [tile(range(60, 70), range(30, 50)), tile(range(70, 80))]
    assert waits(plan_of([tile(part) for part in parts], joined)) == [("0.1.0", "1.0.3")]


def test_what_a_third_worker_has_waited_for():
    """Worker 1 reads what worker 2 wrote, worker 0 what both wrote, but after worker 1: one wait is enough."""
    a, b, c, d, e, f = (range(n, n + 10) for n in range(10, 70, 10))
    steps = [[tile(a), tile(b), tile(c)], [tile(d), tile(e, c), tile(f)], [tile(d, e, c), tile(e), tile(f)]]
    assert waits(plan_of(*steps), workers=3) == [("0.2.0", "1.1.1"), ("1.1.1", "2.0.2")]
    steps[1][1] = tile(e)  # it no longer waits for worker 2: then worker 0 must
    assert waits(plan_of(*steps), workers=3) == [("0.2.0", "1.1.1"), ("0.2.0", "2.0.2")]


def test_halves_of_the_channels():
    """Two tiles write every second pair of numbers; a reader of the image waits for both, and they for none."""
    image, out = ARENA[10:50].reshape(10, 4), ARENA[50:90].reshape(10, 4)
    halves = [((kernels.copy, (0.0, image[:, :2])),), ((kernels.copy, (0.0, image[:, 2:])),)]
    whole = [((kernels.copy, (image, out)),), tile(range(5, 10))]
    plan = plan_of(halves, whole)
    assert waits(plan) == [("0.1.0", "1.0.1")]
    assert races(plan, Job(plan, 2).turns) == []


def test_steps_of_fewer_tiles_than_workers():
    """One tile of all, then one for each worker again."""
    joined = range(10, 40)
    parts = [range(10, 20), range(20, 30), range(30, 40)]
    plan = plan_of(
        [tile(part) for part in parts], [tile(range(50, 60), joined)], [tile(p, range(50, 60)) for p in parts]
    )
    assert waits(plan, workers=3) == [
        ("0.1.0", "1.0.1"),
        ("0.1.0", "2.0.2"),
        ("1.2.1", "0.1.0"),
        ("2.2.2", "0.1.0"),
    ]


def test_tiles_behind_a_barrier_wait_for_all_before_it():
    """Though they access other bytes: what they need is outside the arena."""
    parts = [range(10 * n, 10 * n + 10) for n in range(1, 7)]
    plan = plan_of([tile(part) for part in parts[:4]], [tile(part) for part in parts[4:]])
    assert waits(plan) == []
    first, second = plan.steps
    plan = plan._replace(steps=(first._replace(barriers=(2,)), second))
    assert plan.steps[0].phases() == [(0, 2), (2, 4)]
    assert waits(plan) == [("0.0.2", "1.0.1"), ("1.0.3", "0.0.0")]
    one_tile = plan._replace(steps=(first._replace(barriers=(1,)), second))  # which worker 0 has
    assert waits(one_tile) == [("1.0.3", "0.0.0")]


@pytest.mark.parametrize(
    ("tiles", "workers", "expected"),
    [
        (6, 2, [[2, 1, 0], [3, 4, 5]]),
        (9, 3, [[2, 1, 0], [3, 5, 4], [6, 7, 8]]),
        (2, 3, [[0], [1], []]),
        (1, 2, [[0], []]),
        (3, 1, [[0, 1, 2]]),
    ],
)
def test_tiles_beside_another_worker_come_first(tiles, workers, expected):
    assert [tiles_of(tiles, worker, workers) for worker in range(workers)] == expected


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[3:8, ::-2], np.s_[:, 2:3], np.s_[4:5, 5:6]])
def test_a_span_is_what_numpy_calls_the_bounds(view):
    array = np.zeros((10, 12), np.float32)[view]
    first = array.__array_interface__["data"][0]
    numbers = [first + i * array.strides[0] + j * array.strides[1] for i, j in np.ndindex(array.shape)]
    assert span(array) == (min(numbers), max(numbers) + 4)
