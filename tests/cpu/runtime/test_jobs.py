"""Workers that share an image at run time: the same bits, errors, and no hangs."""

from __future__ import annotations

import random
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.cpu.runtime.schedule import Job
from npresnet.cpu.runtime.workers import Team
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.network_checks import tiled_network
from tests.support.plans import ARENA, executable, plan_of

PATIENCE_S = 100


def finishes(function) -> None:
    """Fail, instead of hanging, where `function` does not end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "a worker hangs"


def run(job: Job, team: Team) -> None:
    team.run([partial(job.run, worker) for worker in range(team.workers)], job.abort)


def delay_turns(job: Job, seed: int) -> None:
    """Delay some turns of every worker by up to a millisecond."""
    rng = random.Random(seed)
    for turns in job.turns:
        for number, turn in enumerate(turns):
            if rng.random() < 0.4:
                nap = (time.sleep, (rng.random() * 1e-3,))
                turns[number] = turn._replace(calls=(nap, *turn.calls))


def test_delayed_workers_give_the_same_bits():
    network, image = tiled_network()
    made = cpu.compile(network, threads=3, winograd=False)
    x = integers(np.random.default_rng(0), (1, *image))
    expected, team = ops.run(network, x)["y"], Team(3)
    for seed in range(12):
        job = Job(made.plan(image, 3), 3)
        delay_turns(job, seed)
        for _ in range(2):
            job.plan.input[...] = x
            finishes(partial(run, job, team))
            assert_same(job.plan.outputs["y"], expected, seed)


def test_many_images_through_the_same_gates():
    """Three workers, even on fewer CPUs, switch as often as possible: 200 times the bits of one worker."""
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
    """Ten steps, in each of which every worker reads what all workers wrote before."""
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
    assert max(number for number, _ in [*ran, (step, failing)]) <= step, (
        "a worker continued without the one that failed"
    )


def test_after_an_abort_every_worker_ends_at_its_next_gate():
    network, image = tiled_network()
    job = Job(cpu.compile(network, threads=3, winograd=False).plan(image, 3), 3)
    job.abort()
    job.abort()
    finishes(partial(run, job, Team(3)))
