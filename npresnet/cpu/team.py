"""Team: a fixed number of threads that start within microseconds, and a Barrier between their steps.

Lane 0 is the caller's own thread, lanes 1.. are workers that sleep on a lock each. A lock taken twice is the cheapest
sleep that Python has: one release wakes one thread, where an executor's queue would take two locks and a condition.

Whatever happens inside a lane (an exception, Ctrl-C in the caller) is told to the others, all lanes are waited for, and
then it is raised in the caller; nothing hangs and the team can be used again. In a forked child, which has none of the
parent's threads, the workers are started anew.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from npresnet.cpu.blas import hold_own_thread

Work = Callable[[], None]


class Barrier:
    """Lanes wait for each other: `wait(lane)` returns True once all have come, False after `abort()`."""

    def __init__(self, lanes: int):
        self._gates = [_closed_gate() for _ in range(lanes)]
        self._arrivals = itertools.count(1)  # next() is atomic, and cannot leave a lock behind when interrupted
        self._lanes = lanes
        self._aborted = False

    def wait(self, lane: int) -> bool:
        if next(self._arrivals) % self._lanes == 0:
            self._open(except_lane=lane)
        elif not self._aborted:
            self._gates[lane].acquire()
        return not self._aborted

    def abort(self) -> None:
        """Let everybody through, now and ever after."""
        self._aborted = True
        self._open()

    def _open(self, except_lane: int | None = None) -> None:
        for lane, gate in enumerate(self._gates):
            if lane != except_lane:
                _open(gate)


def _open(gate: Any) -> None:
    with suppress(RuntimeError):  # it was open already: only after an abort
        gate.release()


def _closed_gate() -> Any:
    gate = threading.Lock()
    gate.acquire()
    return gate


@dataclass
class _Mailbox:
    """What a worker shares with its team; it holds no reference to the team, so that an unused team can go."""

    start: Any = field(default_factory=_closed_gate)
    done: Any = field(default_factory=_closed_gate)
    work: Work | None = None
    error: BaseException | None = None
    stopping: bool = False

    def serve(self) -> None:
        """A worker's life: sleep, work, say so. To be woken without work means nothing."""
        hold_own_thread()
        while True:
            self.start.acquire()
            if self.stopping:
                return
            work, self.work = self.work, None
            if work is None:
                continue
            try:
                work()
            except BaseException as error:  # handed to the caller, who raises it
                self.error = error
            del work
            self.done.release()


class Team:
    """`lanes` threads, the caller's among them. `run` serves one caller at a time: `try_enter` first, then `leave`."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        self._start_workers()

    def _start_workers(self) -> None:
        self._pid = os.getpid()
        self._busy = threading.Lock()
        self._mailboxes = [_Mailbox() for _ in range(self.lanes - 1)]
        for lane, mailbox in enumerate(self._mailboxes, start=1):
            threading.Thread(target=mailbox.serve, name=f"npresnet-{lane}", daemon=True).start()
        self._stop = weakref.finalize(self, _stop, self._mailboxes, self._pid)

    def try_enter(self) -> bool:
        """Take the team for this caller; False where another caller has it. `leave()` gives it back."""
        if self._pid != os.getpid():
            self._stop.detach()
            self._start_workers()
        return self._busy.acquire(blocking=False)

    def leave(self) -> None:
        self._busy.release()

    def run(self, work: Sequence[Work], abort: Callable[[], None]) -> None:
        """Run one piece of work a lane, the first in this thread; return when all have ended.

        The first error of any lane is raised here, Ctrl-C included. `abort` is called as soon as this thread's own
        work fails, so that the others may end early; the others' work must call it itself where it fails.
        """
        started: list[_Mailbox] = []
        errors: list[BaseException] = []
        try:
            for mailbox, task in zip(self._mailboxes, work[1:], strict=False):
                mailbox.work, mailbox.error = task, None
                started.append(mailbox)
                mailbox.start.release()
            work[0]()
        except BaseException as error:
            errors.append(error)
            abort()
            for mailbox in started:
                _open(mailbox.start)  # Ctrl-C may have come just before its release
        for mailbox in started:
            _wait_through_interrupts(mailbox, errors, abort)
        if errors:
            raise errors[0]


def _wait_through_interrupts(mailbox: _Mailbox, errors: list[BaseException], abort: Callable[[], None]) -> None:
    """Wait for a worker even when Ctrl-C comes meanwhile: its buffers are in use until it has ended."""
    while True:
        try:
            mailbox.done.acquire()
            break
        except KeyboardInterrupt as error:
            errors.append(error)
            abort()
    if mailbox.error is not None:
        errors.append(mailbox.error)
        mailbox.error = None


def _stop(mailboxes: list[_Mailbox], pid: int) -> None:
    if pid == os.getpid():
        for mailbox in mailboxes:
            mailbox.stopping = True
            _open(mailbox.start)


_teams: weakref.WeakValueDictionary[int, Team] = weakref.WeakValueDictionary()
_teams_lock = threading.Lock()


def shared_team(lanes: int) -> Team:
    """The process's team of that size, made when first asked for; it ends when nobody holds it any more."""
    with _teams_lock:
        team = _teams.get(lanes)
        if team is None:
            team = _teams[lanes] = Team(lanes)
        return team
