"""Threads and locks of the operating system, and tasks that run on as many threads as it grants.

Why not `threading.Thread`: its `start` waits on a Condition, which Ctrl-C can leave in a state that raises "release
unlocked lock" instead. Nor `concurrent.futures`: it refuses work once the main thread has ended, while other threads
still run, and raises RuntimeError where no thread can be started.

The names of `_thread` are bound when npresnet is imported. A library that replaces them later by those of its greenlets
(gevent, eventlet) then neither turns new workers into greenlets, which would never run while another one waits, nor
mixes two kinds of locks.
"""

from __future__ import annotations

import os
import sys
import threading  # noqa: F401  the thread that imports it first is the main one to it, so it must not be one of ours
from _thread import LockType, allocate_lock, get_ident, start_new_thread
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")

_running: dict[int, str] = {}  # thread -> its name

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)


def new_lock() -> LockType:
    """A lock, open."""
    return allocate_lock()


def closed_gate() -> LockType:
    """A lock that blocks until `open_gate`; acquiring it closes it again."""
    gate = allocate_lock()
    gate.acquire()
    return gate


def open_gate(gate: LockType) -> None:
    """Let one thread pass, now or when it arrives."""
    try:  # noqa: SIM105  suppress() would take ten times as long
        gate.release()
    except RuntimeError:  # already open: only after a failure
        pass


def start_thread(function: Callable[[], object], name: str) -> bool:
    """Run a function, which must not raise, on a new thread; False where the system refuses to start one.

    The process does not wait for it at its end.
    """

    def run() -> None:
        thread = get_ident()
        _running[thread] = name
        try:
            function()
        finally:
            _running.pop(thread, None)

    try:
        start_new_thread(run, ())
    except (RuntimeError, MemoryError):  # a limit of processes or memory, or the interpreter is shutting down
        return False
    return True


def running() -> list[str]:
    """The names of this process's threads that `start_thread` started and that have begun."""
    return sorted(_running.values())


class Task(Generic[Result]):
    """One call, made by a thread of the pool; where it has none, by the one that asks for its result."""

    def __init__(self, work: Callable[[], Result], threads: list[LockType]):
        self._work = work
        self._threads = threads  # a gate for each that makes the pool's calls
        self._process = os.getpid()
        self._unclaimed, self._ended = allocate_lock(), closed_gate()
        self._outcome: tuple[Any, BaseException | None] | None = None

    def run(self) -> None:
        """Make the call unless a thread has begun it; its error is kept for `result`."""
        if self._unclaimed.acquire(False):
            self._make()

    def result(self) -> Result:
        """What the call returned, or raised. In a forked child a call that its parent had not ended is made again."""
        if not self._threads:
            self.run()
        while self._outcome is None:
            if self._process != os.getpid():
                self._make()
            else:
                self._ended.acquire()
        value, error = self._outcome
        if error is None:
            found: Result = value
            return found
        try:
            raise error
        finally:
            del error, self._outcome  # breaks a cycle: an error refers to this frame

    def _make(self) -> None:
        try:
            self._outcome = self._work(), None
        except BaseException as error:  # raised where the result is asked for
            self._outcome = None, error
        open_gate(self._ended)


class TaskPool:
    """Up to `threads` threads, started as tasks come, that make calls in order.

    Where the system grants fewer, the others do more; where it grants none, whoever asks for a result makes the call.
    Used by one thread at a time; a context manager, at whose end waiting tasks are dropped and all threads have ended.
    """

    def __init__(self, threads: int, name: str):
        self._threads = threads
        self._name = name
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._tasks: deque[Task[Any]] = deque()
        self._idle: deque[LockType] = deque()  # the gates of threads that sleep, or are about to look again
        self._gates: list[LockType] = []
        self._ends: list[LockType] = []
        self._closing: list[bool] = []  # not empty: threads end
        self._idents: list[int] = []  # of its threads

    def submit(self, work: Callable[[], Result]) -> Task[Result]:
        """A call that is made soon."""
        if self._process != os.getpid():  # a forked child, which has none of its parent's threads
            self._begin()
        task = Task(work, self._gates)
        self._tasks.append(task)
        if len(self._gates) < self._threads:
            self._start()
        with suppress(IndexError):  # none sleeps: those about to look again see the task themselves
            open_gate(self._idle.pop())
        return task

    def _start(self) -> None:
        gate, end = closed_gate(), closed_gate()
        tasks, idle, closing = self._tasks, self._idle, self._closing
        idents = self._idents

        def serve() -> None:
            idents.append(get_ident())
            _serve(tasks, idle, closing, gate, end)

        if start_thread(serve, self._name):
            self._gates.append(gate)
            self._ends.append(end)
        else:
            self._threads = len(self._gates)  # the system refuses more

    def __enter__(self) -> TaskPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process != os.getpid():
            return
        self._tasks.clear()
        self._closing.append(True)
        for gate in self._gates:
            open_gate(gate)
        while self._ends:
            if sys.is_finalizing() or get_ident() in self._idents:
                break  # at the interpreter's end no thread of ours runs again; a collector's run may be on one of them
            self._ends[-1].acquire()
            self._ends.pop()


def _serve(tasks: deque[Task[Any]], idle: deque[LockType], closing: list[bool], gate: LockType, end: LockType) -> None:
    """A thread's loop. A task that comes while it goes to sleep is seen either here or by who submits it."""
    try:
        while not closing:
            try:
                task = tasks.popleft()
            except IndexError:
                idle.append(gate)
                if not tasks and not closing:
                    gate.acquire()
                else:  # awake: another thread's gate is to be opened for the next task
                    with suppress(ValueError, IndexError):
                        idle.remove(gate)
                continue
            task.run()
            del task  # and with it its result, while this thread sleeps
    finally:
        open_gate(end)
