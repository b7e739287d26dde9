"""A lock that a forked child can take, even if another thread of its parent held it at that moment.

A child has but the thread that forked: a plain lock held by any other stays closed in it for ever. So every lock of
this kind is made anew in the child. That is enough only where what the lock protects is sound between any two
instructions of whoever holds it, such as a dict to which things are added; each place that uses one sees to that.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref


class Lock:
    """For `with` alone. Not to be taken twice by one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *problem: object) -> None:
        with contextlib.suppress(RuntimeError):  # forked inside the block: the child's lock is open already
            self._lock.release()

    def renew(self) -> None:
        """Open, whoever holds it."""
        self._lock = threading.Lock()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
