"""A table whose entries are imported when they are first looked up: a start is spared what it does not need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Later(Generic[Value]):
    """An entry of a Table that `make` imports or makes."""

    def __init__(self, make: Callable[[], Value]):
        self.make = make


def attribute(module: str, name: str) -> Later[Any]:
    """What `module` calls `name`."""
    return Later(lambda: getattr(import_module(module), name))


class Table(Mapping[str, Value]):
    """{name: value}, read-only; two threads may make an entry concurrently, and either one is kept."""

    def __init__(self, entries: Mapping[str, Value | Later[Value]]):
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Value:
        found = self._entries[name]
        if isinstance(found, Later):
            found = self._entries[name] = found.make()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
