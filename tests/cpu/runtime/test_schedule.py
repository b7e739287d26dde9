"""Workers that share an image: who waits for whom, that nothing is missing, and that nothing hangs."""

from __future__ import annotations

import random
import sys
import threading
import time
from functools import cache, partial

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from npresnet import arch, cpu, ops, passes
from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels import direct, pooling
from npresnet.cpu.runtime import memory
from npresnet.cpu.runtime.schedule import Job, Turn, make_schedule, span, tiles_of
from npresnet.cpu.runtime.workers import Team
from npresnet.network import INPUT, Network, Node
from npresnet.plan import Plan, Step
from npresnet.plan.steps import Tile
from npresnet.window import Window
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.network_checks import tiled_network
from tests.support.random_networks import random_network
from tests.support.workers import in_order, meeting, races, unordered

PATIENCE_S = 100


def finishes(function) -> None:
    """Fail, instead of hanging, where `function` does not end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "a worker hangs"


# --- plans made by hand: an arena of 100 numbers, of which tiles read and write ranges ---

ARENA = np.zeros(100, np.float32)


def tile(written: range, *read: range) -> Tile:
    """One that writes a range of the arena after reading others."""
    return ((lambda *arrays: None, tuple(ARENA[part.start : part.stop] for part in (*read, written))),)


def plan_of(*steps: list[Tile]) -> Plan:
    """The image lies in the arena's first four numbers."""
    made = tuple(Step(f"step {number}", tuple(tiles), 0, 0) for number, tiles in enumerate(steps))
    return Plan(ARENA[:4].reshape(1, 1, 2, 2), made, {}, ARENA.nbytes)


def waits(plan: Plan, workers: int = 2) -> list[tuple[str, str]]:
    """(whoever waits, for whom), each as "worker.step.tile"."""
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


def test_lanes_that_touch_nothing_of_each_other_never_wait():
    assert waits(plan_of(first_step(), [tile(NEW_LEFT, LEFT), tile(NEW_RIGHT, RIGHT)])) == []


def test_a_read_waits_for_the_write():
    halo = range(10, 21)  # one number beyond the border
    assert waits(plan_of(first_step(), [tile(NEW_LEFT, halo), tile(NEW_RIGHT, RIGHT)])) == [("0.1.0", "1.0.1")]


def test_a_write_waits_for_the_last_read_of_memory_that_is_used_again():
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
    """NumPy's `as_strided` puts an object that is no array between a view and its array."""
    strided = as_strided(ARENA[LEFT.start :], (8, 3), (ARENA.itemsize, ARENA.itemsize))  # as im2col sees a row
    reader: Tile = ((lambda *arrays: None, (strided, ARENA[NEW_RIGHT.start : NEW_RIGHT.stop])),)
    assert waits(plan_of(first_step(), [tile(NEW_LEFT, IMAGE), reader])) == [("1.1.1", "0.0.0")]


def test_a_worker_waits_once_for_what_it_needs_twice():
    needs_both = [tile(range(50, 60), RIGHT), tile(range(60, 70), LEFT)]
    once_more = [tile(range(70, 80), RIGHT), tile(range(80, 90), LEFT)]
    assert waits(plan_of(first_step(), needs_both, once_more)) == [("0.1.0", "1.0.1"), ("1.1.1", "0.0.0")]


def test_the_latest_tile_stands_for_those_before_it():
    """Worker 1 runs its tiles 2 and 3 in that order: who waits for 3 has waited for 2."""
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
    """Two tiles write every second pair of numbers; whoever reads the image waits for both, and they for no one."""
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


# --- real plans ---


@cache
def executable(name: str) -> cpu.Executable:
    network = arch.build(arch.random_tensors(name, num_classes=10))[0]
    return cpu.compile(passes.optimize(network), threads=2)


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_every_conflict_of_a_resnet_is_ordered(name, workers):
    plan = executable(name).plan((3, 224, 224), workers)
    programs = Job(plan, workers).turns
    assert not unordered(plan, programs)
    assert not races(plan, programs)


@pytest.mark.parametrize("workers", [2, 3])
def test_an_image_without_a_border_is_overwritten_only_once_the_stem_has_read_it(workers):
    """Its bytes are given away after the stem; with a border they never are."""
    rng = np.random.default_rng(0)
    nodes = (
        Node(
            "conv1",
            "conv2d",
            (INPUT,),
            Window.of(7, 2),
            params={"weight": integers(rng, (64, 3, 7, 7))},
            activation="relu",
        ),
        Node("maxpool", "max_pool2d", ("conv1",), Window.of(3, 2, 1)),
        Node("conv2", "conv2d", ("maxpool",), Window.of(1), params={"weight": integers(rng, (16, 64, 1, 1))}),
        Node("conv3", "conv2d", ("conv2",), Window.of(1), params={"weight": integers(rng, (64, 16, 1, 1))}),
    )
    plan = cpu.compile(Network(nodes, {"y": "conv3"}), threads=workers).plan((3, 320, 320), workers)
    programs = Job(plan, workers).turns
    assert not unordered(plan, programs)
    assert not races(plan, programs)


@pytest.mark.parametrize(("name", "workers"), [("resnet18", 2), ("resnet18", 3), ("resnet50", 2)])
def test_no_gate_of_a_resnet_can_be_spared(name, workers):
    plan = executable(name).plan((3, 224, 224), workers)
    programs = Job(plan, workers).turns
    gates = [gate for program in programs for turn in program for gate in turn.passes]
    assert len(gates) > 20
    places = in_order(plan, programs)
    pairs = meeting(plan, programs, places)
    for gate in gates:
        spared = [[without(gate, turn) for turn in program] for program in programs]
        assert unordered(plan, spared, pairs)


@pytest.mark.parametrize("workers", [2, 3])
def test_races_are_seen_where_there_are_no_gates(workers):
    plan = executable("resnet18").plan((3, 224, 224), workers)
    programs = [[Turn([], turn.calls, []) for turn in program] for program in Job(plan, workers).turns]
    assert len(races(plan, programs)) > 50


def without(gate: object, turn: Turn) -> Turn:
    return Turn([g for g in turn.passes if g is not gate], turn.calls, [g for g in turn.opens if g is not gate])


@pytest.fixture
def small_tiles(monkeypatch):
    """Even images of ten pixels are cut into tiles."""
    monkeypatch.setattr(direct, "TILE_ROWS", 12)
    monkeypatch.setattr(pooling, "MIN_TILE_FLOATS", 20)
    monkeypatch.setattr(memory, "MIN_TILE_FLOATS", 20)


@pytest.mark.parametrize("workers", [2, 3])
def test_random_networks(small_tiles, workers):
    gates = 0
    for seed in range(25):
        network, image = random_network(seed)
        made = cpu.compile(network, threads=workers, winograd=False)
        plan = made.plan(image, workers)
        programs = Job(plan, workers).turns
        gates += sum(len(turn.passes) for program in programs for turn in program)
        assert not unordered(plan, programs), seed
        assert not races(plan, programs), seed
        x = integers(np.random.default_rng(seed), (1, *image))
        got = made(x)
        for asked, expected in ops.run(network, x).items():
            assert_same(got[asked], expected, (seed, asked))
        made.close()
    assert gates > 200


# --- at work ---


def run(job: Job, team: Team) -> None:
    team.run([partial(job.run, worker) for worker in range(team.workers)], job.abort)


def dawdling(job: Job, seed: int) -> None:
    """Some turns of every worker begin late, by up to a millisecond."""
    rng = random.Random(seed)
    for program in job.turns:
        for number, turn in enumerate(program):
            if rng.random() < 0.4:
                nap = (time.sleep, (rng.random() * 1e-3,))
                program[number] = turn._replace(calls=(nap, *turn.calls))


def test_lanes_that_dawdle_give_the_same_bits():
    network, image = tiled_network()
    made = cpu.compile(network, threads=3, winograd=False)
    x = integers(np.random.default_rng(0), (1, *image))
    expected, team = ops.run(network, x)["y"], Team(3)
    for seed in range(12):
        job = Job(made.plan(image, 3), 3)
        dawdling(job, seed)
        for _ in range(2):
            job.plan.input[...] = x
            finishes(partial(run, job, team))
            assert_same(job.plan.outputs["y"], expected, seed)


def test_many_images_through_the_same_gates():
    """Three workers, on however few CPUs, change places at every chance: 200 times the bits of one worker."""
    network = executable("resnet18").network
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    expected = cpu.compile(network, threads=1)(x)["logits"]
    made, interval = cpu.compile(network, threads=3), sys.getswitchinterval()

    right: list[bool] = []

    def many() -> None:
        for _ in range(200):
            right.append(np.array_equal(made(x)["logits"], expected))

    sys.setswitchinterval(1e-6)
    try:
        finishes(many)
    finally:
        sys.setswitchinterval(interval)
    assert right == [True] * 200


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("step", [0, 5, 9])
def test_an_error_in_any_worker_frees_the_others_and_is_raised(failing, step):
    """Ten steps in each of which every worker reads what all wrote before."""
    whole = ARENA[10:40]
    ran: list[tuple[int, int]] = []

    def kernel(number: int, worker: int, *arrays: np.ndarray) -> None:
        if (number, worker) == (step, failing):
            raise ZeroDivisionError(f"worker {worker}")
        ran.append((number, worker))

    parts = [ARENA[10:20], ARENA[20:30], ARENA[30:40]]
    plan = plan_of(*([((kernel, (n, worker, whole, parts[worker])),) for worker in range(3)] for n in range(10)))
    job, team = Job(plan, 3), Team(3)

    def fail() -> None:
        with pytest.raises(ZeroDivisionError, match=f"worker {failing}"):
            run(job, team)

    finishes(fail)
    assert max(number for number, _ in [*ran, (step, failing)]) <= step, "somebody went on without the one that failed"


def test_after_an_abort_every_worker_ends_at_its_next_gate():
    network, image = tiled_network()
    job = Job(cpu.compile(network, threads=3, winograd=False).plan(image, 3), 3)
    job.abort()
    job.abort()
    finishes(partial(run, job, Team(3)))
