"""Team: a fixed number of threads that start within microseconds, and the gates at which they wait for each other.

Worker 0 is the caller's own thread, workers 1.. are workers that sleep on a lock each. A lock taken twice is the cheapest
sleep that Python has: one release wakes one thread, where an executor's queue would take two locks and a condition.

Whatever happens inside a worker (an exception, Ctrl-C in the caller) is told to the others, all workers are waited for, and
then it is raised in the caller. Ctrl-C may come between any two instructions of this file; so nothing here counts on
having been told something exactly once, and workers that were in anything that failed are never used again: the next
run starts new ones. So does the first run in a forked child, which has none of the parent's threads.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from npresnet.cpu.runtime.blas import hold_own_thread
from npresnet.errors import DeviceError
from npresnet.system.locks import Lock

Work = Callable[[], None]


def closed_gate() -> Any:
    """A lock that nobody passes until `open_gate`; whoever then acquires it closes it again."""
    gate = threading.Lock()
    gate.acquire()
    return gate


def open_gate(gate: Any) -> None:
    """Let one worker through, now or when it comes."""
    try:  # noqa: SIM105  suppress() would take ten times as long
        gate.release()
    except RuntimeError:  # it was open already: only after something has failed
        pass


class _Mailbox:
    """What a worker shares with its team; it holds no reference to the team, so that an unused team can go."""

    def __init__(self) -> None:
        self.start, self.done = closed_gate(), closed_gate()
        self.work: Work | None = None  # until it has ended
        self.error: BaseException | None = None
        self.stopping = False

    def wait(self) -> None:
        """Until the work has ended; may be called again after Ctrl-C."""
        while self.work is not None:  # `done` may have been open from before, or taken just as Ctrl-C came
            self.done.acquire()

    def serve(self) -> None:
        """A worker's life: sleep, work, say so."""
        is_new = True
        while True:
            self.start.acquire()
            if self.stopping:
                return
            work = self.work
            if work is None:
                continue  # woken twice for one piece of work
            try:
                if is_new:
                    hold_own_thread()
                    is_new = False
                work()
            except BaseException as error:  # handed to the caller, who raises it
                self.error = error
            self.work = work = None
            open_gate(self.done)


class Team:
    """`workers` threads, the caller's among them. `run` serves one call at a time: `try_enter` first, then `leave`."""

    def __init__(self, workers: int):
        self.workers = workers
        self._calls: dict[int, object] = {}  # process -> the call that has the team there
        self._start_workers()

    def _start_workers(self) -> None:
        self._mailboxes = [_Mailbox() for _ in range(self.workers - 1)]
        self._stop = weakref.finalize(self, _stop, self._mailboxes, os.getpid())
        self._stop.atexit = False  # whoever computes after that would wait for ever; daemon threads end by themselves
        try:
            for worker, mailbox in enumerate(self._mailboxes, start=1):
                threading.Thread(target=mailbox.serve, name=f"npresnet-{worker}", daemon=True).start()
        except RuntimeError as error:
            self._stop()
            raise DeviceError(f"threads={self.workers} is more than this system starts: {error}. Give fewer") from error
        self._ready_in: int | None = os.getpid()

    def try_enter(self, call: object) -> bool:
        """Take the team for this call; False where another call has it. `leave` gives it back."""
        return self._calls.setdefault(os.getpid(), call) is call  # atomic: no moment at which nobody knows who has it

    def leave(self, call: object) -> None:
        """Give the team back, where this call has it."""
        if self._calls.get(os.getpid()) is call:
            del self._calls[os.getpid()]

    def run(self, work: Sequence[Work], abort: Callable[[], None]) -> None:
        """Run one piece of work a worker, the first in this thread; return when all have ended.

        The first error of any worker is raised here, but Ctrl-C before all others. `abort` is called as soon as this
        thread's own work fails, so that the others may end early; the others' work must call it itself where it fails.
        """
        if self._ready_in != os.getpid():
            self._stop()
            self._start_workers()
        self._ready_in = None  # until all has gone well
        errors = self._run_to_the_end(work, abort)
        if not errors:
            self._ready_in = os.getpid()
            return
        try:
            raise next((error for error in errors if not isinstance(error, Exception)), errors[0])
        finally:
            errors.clear()  # an error holds this frame, and must not be held by it

    def _run_to_the_end(self, work: Sequence[Work], abort: Callable[[], None]) -> list[BaseException]:
        """Start all workers and wait for all, whatever happens; returns the errors that did, this thread's own first."""
        given: list[_Mailbox] = []
        errors: list[BaseException] = []
        while True:
            try:
                if not errors:
                    for mailbox, task in zip(self._mailboxes, work[1:], strict=True):
                        given.append(mailbox)
                        mailbox.work = task
                        open_gate(mailbox.start)
                    work[0]()
                else:
                    abort()
                    for mailbox in given:
                        open_gate(mailbox.start)  # Ctrl-C may have come just before
                for mailbox in given:
                    mailbox.wait()
                break
            except BaseException as error:
                errors.append(error)
        for mailbox in given:
            if mailbox.error is not None:
                errors.append(mailbox.error)
            mailbox.error = None
        return errors


def _stop(mailboxes: list[_Mailbox], pid: int) -> None:
    if pid == os.getpid():
        for mailbox in mailboxes:
            mailbox.stopping = True
            open_gate(mailbox.start)


_teams: weakref.WeakValueDictionary[int, Team] = weakref.WeakValueDictionary()
_teams_lock = Lock()


def shared_team(workers: int) -> Team:
    """The process's team of that size, made when first asked for; it ends when nobody holds it any more."""
    with _teams_lock.plain:
        team = _teams.get(workers)
        if team is None:
            team = _teams[workers] = Team(workers)
        return team
