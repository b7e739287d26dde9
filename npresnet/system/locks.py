"""Locks that a forked child can acquire even if another thread of its parent held them during the fork.

A child has only the thread that forked, so a plain lock held by another thread is never released in it. These locks are
recreated in the child. That is safe only if the protected data is consistent between any two instructions of the lock's
holder, such as a dict to which entries are added; every user of a Lock must ensure it.

    with self._lock.plain: ...

The `with` uses the plain lock because its __enter__ is C code, which Ctrl-C cannot interrupt after it has acquired the
lock. Locks of Python itself (a module being imported during a process's first call) and of threadpoolctl are not
recreated.
"""

from __future__ import annotations

import os
import weakref

from npresnet.system.threads import new_lock


class Lock:
    """`plain` is the lock to acquire; in a forked child it is a new, unlocked one."""

    def __init__(self) -> None:
        self.renew()
        _locks.add(self)

    def renew(self) -> None:
        """Replace the lock by a new, unlocked one."""
        self.plain = new_lock()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
