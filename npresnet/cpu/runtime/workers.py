"""Team: a number of workers that wake within microseconds.

Worker 0 is the caller's own thread; workers 1.. are threads that each sleep on a lock. Acquiring a held lock is the
cheapest sleep in Python: one release wakes one thread, where an executor's queue needs two locks and a condition.

When a worker fails (an exception, or Ctrl-C in the caller), the others are aborted, all are waited for, and the error
is raised in the caller. Ctrl-C may come between any two instructions of this file; so no signal here is assumed to
arrive exactly once, and threads that took part in a failed run are never reused: the next run starts new ones. So does
the first run in a forked child, which has none of the parent's threads.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import TypeVar

from npresnet.cpu.runtime.blas import hold_own_thread
from npresnet.system.locks import Lock
from npresnet.system.threads import closed_gate, open_gate, start_thread

Work = Callable[[], None]
RETRY_S = 1.0  # after the system refused a thread, it is asked again not before
Item = TypeVar("Item")


class _Mailbox:
    """State shared by a worker and its team, without a reference to the team, so that an unused team can be freed."""

    def __init__(self) -> None:
        self.start, self.done = closed_gate(), closed_gate()
        self.work: Work | None = None  # until it has ended
        self.error: BaseException | None = None
        self.stopping = False

    def wait(self) -> None:
        """Block until the work has ended; may be called again after Ctrl-C."""
        while self.work is not None:  # `done` may be open from before, or have been acquired just before Ctrl-C
            self.done.acquire()

    def serve(self) -> None:
        """A worker's loop: sleep, work, report."""
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
            except BaseException as error:  # raised in the caller
                self.error = error
            self.work = work = None
            open_gate(self.done)


class Team:
    """At most `wanted` threads, the caller's among them. `run` serves one call at a time: `try_enter`, then `leave`.

    workers  how many there are: fewer than wanted where the system starts no more. It changes only in `try_enter` and
             at the start of a `run` that follows neither it nor a successful run
    """

    def __init__(self, wanted: int):
        self.wanted = wanted
        self._calls: dict[int, object] = {}  # process -> the call that holds the team there
        self._give_mailboxes()
        self._ready_in: int | None = None  # the process whose mailboxes all have a thread that waits
        self._retry_at_s = 0.0
        self._start_workers()

    def _give_mailboxes(self) -> None:
        self._mailboxes: list[_Mailbox] = []
        self._stop = weakref.finalize(self, _stop, self._mailboxes, os.getpid())
        self._stop.atexit = False  # calls in later exit handlers would block forever; daemon threads need no stop

    @property
    def workers(self) -> int:
        """How many threads there are, the caller's among them."""
        return len(self._mailboxes) + 1

    def _start_workers(self) -> None:
        """Start those that are missing: all of them where the last run failed, and in a forked child."""
        if self._ready_in != os.getpid():
            self._stop()
            self._give_mailboxes()
        self._ready_in = None  # until all have been started
        while self.workers < self.wanted:
            self._mailboxes.append(_Mailbox())
            if not start_thread(self._mailboxes[-1].serve, f"npresnet-{self.workers - 1}"):
                self._mailboxes.pop()
                self._retry_at_s = monotonic() + RETRY_S
                break
        self._ready_in = os.getpid()

    def try_enter(self, call: object) -> bool:
        """Acquire the team for this call, with workers that are ready; False where another call holds it.

        `leave` releases it.
        """
        if self._calls.setdefault(os.getpid(), call) is not call:  # atomic, so Ctrl-C cannot lose the holder
            return False
        if self._ready_in != os.getpid() or (self.workers < self.wanted and monotonic() >= self._retry_at_s):
            self._start_workers()
        return True

    def leave(self, call: object) -> None:
        """Release the team if this call holds it."""
        if self._calls.get(os.getpid()) is call:
            del self._calls[os.getpid()]

    def run(self, work: Sequence[Work], abort: Callable[[], None]) -> None:
        """Run one piece of work on each worker, the first in this thread; return when all have ended.

        The first error of any worker is raised here, Ctrl-C with priority. `abort` is called as soon as this thread's
        own work fails, so that the others can stop early; the others' work must call it itself when it fails.
        """
        if self._ready_in != os.getpid():
            self._start_workers()
        self._ready_in = None  # until the run has succeeded
        errors = self._run_to_the_end(work, abort)
        if not errors:
            self._ready_in = os.getpid()
            return
        try:
            raise next((error for error in errors if not isinstance(error, Exception)), errors[0])
        finally:
            errors.clear()  # breaks a cycle: an error refers to this frame

    def _run_to_the_end(self, work: Sequence[Work], abort: Callable[[], None]) -> list[BaseException]:
        """Start all workers and wait for all, even after errors; returns the errors, this thread's own first."""
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
                        open_gate(mailbox.start)  # again: Ctrl-C may have come just before
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
    """The process's team of that size, created on first use; its threads end when it is no longer referenced."""
    with _teams_lock.plain:
        team = _teams.get(workers)
        if team is None:
            team = _teams[workers] = Team(workers)
        return team


def share(items: Iterable[Item], work: Callable[[Item], None], team: Team | None) -> None:
    """Do `work` on every item: each worker takes the next until none remains, or another worker has failed.

    team  workers that this call has entered; None uses this thread alone
    """
    queue = deque(items)

    def take() -> None:
        try:
            for item in taken_from(queue):
                work(item)
        except BaseException:
            queue.clear()
            raise

    if team is None:
        take()
    else:
        team.run([take] * team.workers, queue.clear)


def taken_from(queue: deque[Item]) -> Iterator[Item]:
    """Items of a queue that several threads empty, each item by one of them.

    Without a lock, which could stay held after an interrupt: `popleft` is atomic. next() of an iterator that threads
    share is not where Python has no GIL: it may give one item to two of them.
    """
    while True:
        try:
            item = queue.popleft()
        except IndexError:
            return
        yield item
