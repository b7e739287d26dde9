"""Workers that fail: every failure ends in the right error or the right result, never in a hang."""

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

from npresnet.cpu.runtime import workers
from npresnet.cpu.runtime.workers import Team, shared_team
from npresnet.system import threads
from npresnet.system.threads import closed_gate, open_gate
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


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_worker_runs_once(count):
    team, ran = Team(count), []
    for _ in range(100):
        team.run([partial(ran.append, worker) for worker in range(count)], nothing)
    assert sorted(ran) == sorted(list(range(count)) * 100)


@pytest.mark.parametrize("opens_first", [True, False], ids=["open when asked", "opened while waited for"])
def test_a_gate_lets_one_worker_through_each_time(opens_first):
    """Two workers alternate through two gates, each 300 times; passing a closed gate would break the order."""
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
    assert len(aborted) == (2 if failing == 0 else 1), "after the caller's own failure the team aborts, too"
    ran = []
    finishes(
        lambda: team.run([partial(ran.append, worker) for worker in range(3)], nothing)
    )  # the team is still usable
    assert sorted(ran) == [0, 1, 2]


class TooLateError(Exception):
    """Raised by a program's own signal handler, as for a time limit."""


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
        open_gate(gate)  # the signal may have come to this thread, which wakes no other

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
    """Neither the mailbox nor a cycle of error and frame refers to the workers' data."""

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


@pytest.mark.parametrize("granted", [0, 2])
def test_a_system_without_threads_to_spare(monkeypatch, granted):
    """A limit of processes: fewer workers, which are more again as soon as the system grants them."""
    left = [granted]

    def start(function, arguments):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start_new_thread(function, arguments)

    start_new_thread = threads.start_new_thread
    monkeypatch.setattr(threads, "start_new_thread", start)
    monkeypatch.setattr(workers, "RETRY_S", 0.0)
    team = Team(4)
    for expected, more in ((granted + 1, 0), (granted + 1, 99), (4, 0)):
        assert team.workers == expected
        ran = []
        team.run([partial(ran.append, worker) for worker in range(team.workers)], nothing)
        assert sorted(ran) == list(range(expected))
        left[0] += more
        assert team.try_enter(team)
        team.leave(team)


def test_a_team_still_works_while_the_interpreter_exits():
    """Exit handlers that a program registered before its first team run after any that the team could register."""
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
    assert team.try_enter("parent")  # holds it while forking
    child = os.fork()
    if child == 0:
        ran: list[int] = []
        entered = team.try_enter("child") and not team.try_enter("another")
        team.run([partial(ran.append, worker) for worker in range(3)], nothing)
        os._exit(0 if entered and sorted(ran) == [0, 1, 2] else 1)
    assert exit_code(child) == 0


def test_threads_end_with_the_last_user_of_a_team():
    gc.collect()
    before = len(threads.running())
    team = shared_team(7)
    assert shared_team(7) is team
    team.run([nothing] * 7, nothing)
    assert len(threads.running()) >= 6
    del team
    gc.collect()
    deadline = time.monotonic() + PATIENCE_S
    while len(threads.running()) > before:
        assert time.monotonic() < deadline, threads.running()
        time.sleep(0.01)
