"""Threads that misbehave: whatever happens in a worker ends in the right error or the right result, never in a hang."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from functools import partial

import pytest

from npresnet.cpu.runtime.workers import Team, closed_gate, open_gate, shared_team
from npresnet.errors import DeviceError
from tests.conftest import REPOSITORY
from tests.support.children import exit_code

PATIENCE_S = 20  # far longer than anything here takes


def nothing() -> None:
    pass


def finishes(function) -> None:
    """Fail, instead of hanging, where `function` does not end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "a worker hangs"


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_every_worker_runs_once(workers):
    team, ran = Team(workers), []
    for _ in range(100):
        team.run([partial(ran.append, worker) for worker in range(workers)], nothing)
    assert sorted(ran) == sorted(list(range(workers)) * 100)


@pytest.mark.parametrize("opens_first", [True, False], ids=["open when asked", "opened while waited for"])
def test_a_gate_lets_one_worker_through_each_time(opens_first):
    """Two workers take turns through two gates, each 300 times; whoever slips through breaks the order."""
    team, gates, order = Team(2), [closed_gate(), closed_gate()], []

    def take_turns(worker: int) -> None:
        for _ in range(300):
            gates[worker].acquire()
            order.append(worker)
            open_gate(gates[1 - worker])

    open_gate(gates[0 if opens_first else 1])
    finishes(lambda: team.run([partial(take_turns, worker) for worker in (0, 1)], nothing))
    assert order == ([0, 1] if opens_first else [1, 0]) * 300


def test_a_gate_that_is_opened_twice_lets_one_worker_through():
    gate = closed_gate()
    open_gate(gate)
    open_gate(gate)
    assert gate.acquire(False)
    assert not gate.acquire(False)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_any_worker_is_raised_when_all_have_been_freed(failing):
    team, gates, aborted = Team(3), [closed_gate() for _ in range(3)], []

    def abort() -> None:
        aborted.append(True)
        for gate in gates:
            open_gate(gate)

    def worker_job(worker: int) -> None:
        if worker == failing:
            abort()
            raise ZeroDivisionError(f"worker {worker}")
        gates[worker].acquire()

    def run() -> None:
        with pytest.raises(ZeroDivisionError, match=f"worker {failing}"):
            team.run([partial(worker_job, worker) for worker in range(3)], abort)

    finishes(run)
    assert len(aborted) == (2 if failing == 0 else 1), "the caller's own failure is told to all by the team too"
    ran = []
    finishes(lambda: team.run([partial(ran.append, worker) for worker in range(3)], nothing))  # the team is still good
    assert sorted(ran) == [0, 1, 2]


class TooLateError(Exception):
    """What a program's own signal handler raises, as for a time limit."""


def raise_too_late(signum, frame):
    raise TooLateError


@pytest.mark.parametrize("at_work", [True, False], ids=["in its own work", "waiting for the others"])
@pytest.mark.parametrize("raised", [KeyboardInterrupt, TooLateError])
def test_a_signal_waits_for_the_workers_and_is_raised(raised, at_work):
    team, gate, ended = Team(2), closed_gate(), []
    before = signal.getsignal(signal.SIGINT)

    def worker() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        ended.append(True)
        open_gate(gate)  # the signal may have come to this thread, which wakes nobody

    try:
        if raised is TooLateError:
            signal.signal(signal.SIGINT, raise_too_late)
        with pytest.raises(raised):
            team.run([gate.acquire if at_work else nothing, worker], partial(open_gate, gate))
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended, "the worker was still at work when run() came back"
    ran = []
    team.run([partial(ran.append, worker) for worker in range(2)], nothing)
    assert sorted(ran) == [0, 1]


def test_ctrl_c_comes_before_all_other_errors():
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Team(2).run([lambda: 1 / 0, stop], nothing)


def test_an_error_keeps_nothing_alive():
    """Neither the mailbox nor a circle of error and frame holds what the workers worked on."""

    class Work:
        def __call__(self) -> None:
            raise ZeroDivisionError

    team, gone = Team(2), []
    gc.disable()
    try:
        for worker in (0, 1):
            work = [nothing, nothing]
            work[worker] = Work()
            gone.append(weakref.ref(work[worker]))
            with suppress(ZeroDivisionError):
                team.run(work, nothing)
            del work
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_a_worker_that_cannot_begin_says_so(monkeypatch):
    monkeypatch.setattr("npresnet.cpu.runtime.workers.hold_own_thread", lambda: 1 / 0)

    def run() -> None:
        with pytest.raises(ZeroDivisionError):
            Team(2).run([nothing, nothing], nothing)

    finishes(run)


def test_a_team_has_one_call_at_a_time():
    team, first, second = Team(2), object(), object()
    assert team.try_enter(first)
    assert not team.try_enter(second)
    team.leave(second)
    assert not team.try_enter(second)
    team.leave(first)
    team.leave(first)
    assert team.try_enter(second)


def test_a_system_without_threads_to_spare(monkeypatch):
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(DeviceError, match="threads=4 is more than this system can start"):
        Team(4)
    for thread in started:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_team_still_works_while_the_interpreter_exits():
    """What a program registered before it made its first team runs after all that the team could have registered."""
    script = """if True:
        import atexit
        def use() -> None:
            ran = []
            team.run([lambda: ran.append(1), lambda: ran.append(2)], lambda: None)
            print(sorted(ran))
        atexit.register(use)
        from npresnet.cpu.runtime.workers import Team
        team = Team(2)
        use()
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, timeout=PATIENCE_S)
    assert done.stdout.split(b"\n")[:2] == [b"[1, 2]", b"[1, 2]"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_starts_workers_of_its_own():
    team = Team(3)
    assert team.try_enter("parent")  # and has it while it forks
    child = os.fork()
    if child == 0:
        ran: list[int] = []
        entered = team.try_enter("child") and not team.try_enter("another")
        team.run([partial(ran.append, worker) for worker in range(3)], nothing)
        os._exit(0 if entered and sorted(ran) == [0, 1, 2] else 1)
    assert exit_code(child) == 0


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
