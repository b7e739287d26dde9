"""Tasks on as many threads as the system grants: each made once, none lost, in a forked child and without threads."""

import os
import threading
import time
from collections import deque

import pytest

from npresnet.system import threads
from npresnet.system.threads import TaskPool, closed_gate, open_gate
from tests.support.children import exit_code
from tests.support.refused_threads import grant

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(params=[0, 1, 3], ids="{} granted".format)
def granted(request, monkeypatch):
    """The system starts so many threads, and then refuses."""
    grant(monkeypatch, request.param)
    return request.param


def test_every_task_is_made_once(granted):
    made = []

    def make(number):
        made.append(number)
        return number * number

    with TaskPool(3, "test") as pool:
        for round_ in range(50):
            tasks = [pool.submit(lambda n=n: make(n)) for n in range(round_ % 7)]
            assert [task.result() for task in tasks] == [n * n for n in range(round_ % 7)]
    assert len(made) == sum(round_ % 7 for round_ in range(50))
    assert "test" not in threads.running()


def test_a_thread_that_was_about_to_sleep_has_seen_the_task():
    """It takes its gate back while the task is being submitted."""

    class Emptied(deque):
        def __bool__(self):
            return True

    with TaskPool(1, "test") as pool:
        pool._idle = Emptied()
        assert pool.submit(lambda: 5).result() == 5


def test_threads_start_as_tasks_come():
    with TaskPool(8, "test") as pool:
        gates = [closed_gate() for _ in range(2)]
        tasks = [pool.submit(gate.acquire) for gate in gates]
        deadline = time.monotonic() + 20
        while threads.running().count("test") < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert threads.running().count("test") == 2
        for gate in gates:
            open_gate(gate)
        assert [task.result() for task in tasks] == [True, True]


@pytest.mark.parametrize("raised", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_is_raised_where_the_result_is_asked_for(granted, raised):
    def fail():
        raise raised("here")

    with TaskPool(2, "test") as pool:
        task = pool.submit(fail)
        with pytest.raises(raised, match="here"):
            task.result()
        assert pool.submit(lambda: 5).result() == 5


def test_waiting_tasks_are_dropped_at_the_end():
    begun, gate, made = closed_gate(), closed_gate(), []
    with TaskPool(1, "test") as pool:
        pool.submit(lambda: (open_gate(begun), gate.acquire()))
        begun.acquire()
        for number in range(100):
            pool.submit(lambda n=number: made.append(n))
        threading.Timer(0.05, open_gate, [gate]).start()
    assert made == []
    assert "test" not in threads.running()


@needs_fork
def test_a_forked_child_makes_what_its_parent_had_begun():
    """The parent's thread is in the middle of one task, and has not come to the next; neither exists in the child."""
    begun, gate = closed_gate(), closed_gate()
    parent = os.getpid()

    def slow():
        if os.getpid() == parent:
            open_gate(begun)
            gate.acquire()
        return "slow"

    with TaskPool(1, "test") as pool:
        tasks = [pool.submit(slow), pool.submit(lambda: "next")]
        begun.acquire()
        child = os.fork()
        if child == 0:
            found = [task.result() for task in tasks] + [pool.submit(lambda: "new").result()]
            pool.__exit__(None, None, None)
            os._exit(0 if found == ["slow", "next", "new"] else 1)
        open_gate(gate)
        assert exit_code(child) == 0
        assert [task.result() for task in tasks] == ["slow", "next"]
