"""Threads that misbehave: whatever happens in a lane ends in the right error or the right result, never in a hang."""

import gc
import os
import signal
import threading
import time
from functools import partial

import pytest

from npresnet.cpu.team import Barrier, Team, shared_team

PATIENCE_S = 20  # far longer than anything here takes


def nothing() -> None:
    pass


def finishes(function) -> None:
    """Fail, instead of hanging, where `function` does not end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "a lane hangs"


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
def test_every_lane_runs_once(lanes):
    team, ran = Team(lanes), []
    for _ in range(100):
        team.run([partial(ran.append, lane) for lane in range(lanes)], nothing)
    assert sorted(ran) == sorted(list(range(lanes)) * 100)


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_nobody_passes_the_barrier_before_all_have_come(lanes):
    team, barrier, arrived, early = Team(lanes), Barrier(lanes), [0] * lanes, []

    def lane_job(lane: int) -> None:
        for step in range(1, 300):
            arrived[lane] = step
            assert barrier.wait(lane)
            if min(arrived) < step:
                early.append((lane, step))

    finishes(lambda: team.run([partial(lane_job, lane) for lane in range(lanes)], barrier.abort))
    assert arrived == [299] * lanes
    assert not early


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_any_lane_frees_the_others_and_is_raised(failing):
    team, barrier = Team(3), Barrier(3)

    def lane_job(lane: int) -> None:
        try:
            for step in range(10):
                if lane == failing and step == 5:
                    raise ZeroDivisionError(f"lane {lane}")
                if not barrier.wait(lane):
                    return
        except BaseException:
            barrier.abort()
            raise

    def run() -> None:
        with pytest.raises(ZeroDivisionError, match=f"lane {failing}"):
            team.run([partial(lane_job, lane) for lane in range(3)], barrier.abort)

    finishes(run)
    ran = []
    finishes(lambda: team.run([partial(ran.append, lane) for lane in range(3)], nothing))  # the team is still good
    assert sorted(ran) == [0, 1, 2]


def test_ctrl_c_waits_for_the_workers_and_is_raised():
    team, barrier, ended = Team(2), Barrier(2), []

    def worker() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        ended.append(True)
        barrier.wait(1)

    with pytest.raises(KeyboardInterrupt):
        team.run([lambda: barrier.wait(0), worker], barrier.abort)
    assert ended, "the worker was still at work when run() came back"
    ran = []
    team.run([partial(ran.append, lane) for lane in range(2)], nothing)
    assert sorted(ran) == [0, 1]


def test_a_team_has_one_caller_at_a_time():
    team = Team(2)
    assert team.try_enter()
    assert not team.try_enter()
    team.leave()
    assert team.try_enter()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_workers_of_its_own():
    team = Team(3)
    assert team.try_enter()  # held by the parent while it forks
    child = os.fork()
    if child == 0:
        ran: list[int] = []
        entered = team.try_enter()
        team.run([partial(ran.append, lane) for lane in range(3)], nothing)
        os._exit(0 if entered and sorted(ran) == [0, 1, 2] else 1)
    deadline = time.monotonic() + PATIENCE_S
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
    assert done == (child, 0)


def test_threads_end_with_the_last_user_of_a_team():
    before = set(threading.enumerate())
    team = shared_team(7)
    assert shared_team(7) is team
    workers = set(threading.enumerate()) - before
    assert len(workers) == 6
    del team
    gc.collect()
    for worker in workers:
        worker.join(PATIENCE_S)
        assert not worker.is_alive()
