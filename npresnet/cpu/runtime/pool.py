"""Pool: reusable plans and their memory, so that concurrent calls share no buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from npresnet.system.locks import Lock

Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Items created by `make` when none is idle; at most `kept` idle ones are kept for later calls.

    An item whose call failed may be in any state and must not be returned.
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
        """Return an item for reuse."""
        with self._lock.plain:
            if len(self._idle) < self._kept:
                self._idle.append(item)
