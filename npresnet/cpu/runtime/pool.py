"""Pool: what a call needs of memory, lent and given back, so that calls at the same time share no buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from npresnet.system.locks import Lock

Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Items made by `make` when none is idle; `kept` of them stay for later calls.

    An item that failed half way may be in any state: it is not given back.
    """

    def __init__(self, make: Callable[[], Item], kept: int):
        self._make = make
        self._kept = kept
        self._idle: list[Item] = []
        self._lock = Lock()

    def take(self) -> Item:
        """An idle item, or a new one."""
        with self._lock.plain:
            if self._idle:
                return self._idle.pop()
        return self._make()

    def give(self, item: Item) -> None:
        """Lend it to the next call."""
        with self._lock.plain:
            if len(self._idle) < self._kept:
                self._idle.append(item)
