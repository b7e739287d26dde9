"""Locks that a forked child can take, even if another thread of its parent held them at that moment.

A child has but the thread that forked: a plain lock held by any other stays closed in it for ever. So every lock of
this kind is made anew in the child. That is enough only where what it protects is sound between any two instructions of
whoever holds it, such as a dict to which things are added; each place that uses one sees to that.

    with self._lock.plain: ...

It is the plain lock that stands in the `with`, for Ctrl-C never comes between taking that and being inside. What is
not ours is not made anew: Python's own locks of a module that is just being imported, as in a process's very first
call, and threadpoolctl's.
"""

from __future__ import annotations

import os
import threading
import weakref


class Lock:
    """`plain` is the lock to take; in a forked child it is another one, open."""

    def __init__(self) -> None:
        self.renew()
        _locks.add(self)

    def renew(self) -> None:
        """Open, whoever holds it."""
        self.plain = threading.Lock()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
