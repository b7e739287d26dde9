"""Lowering: how a backend computes one operation. Each backend has a table, operation -> lowering, and nothing beside it.

A compiler asks every node's lowering the same questions in the same order, before any memory is taken:

    choose     which algorithm it will take; only convolutions have several
    scratch    what memory it needs besides its inputs, weights and result
    lower      the work itself, its arguments ready: tiles of NumPy calls on the CPU, kernel launches on a GPU

Backends extend this with what only they have to know (halos, prepacked weights; storage, workspaces).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

Request = TypeVar("Request", contravariant=True)
Bound = TypeVar("Bound", contravariant=True)
Place = TypeVar("Place", contravariant=True)
Work = TypeVar("Work")


class Lowering(Protocol[Request, Bound, Place, Work]):
    """One operation on one backend.

    Request  what is known before anything is chosen: the node, the shapes, the machine
    Bound    the same with the choice, and where every value lies
    Place    memory: arrays on the CPU, addresses on a GPU
    Work     a tile, or a launch
    """

    def choose(self, request: Request) -> Any:
        """The algorithm, as an object whose text names it in tables; None where there is only one."""

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        """Purpose -> how much memory, in the backend's unit."""

    def lower(self, bound: Bound, place: Place) -> list[Work]:
        """The work of this node, bound to memory."""

    def algorithm(self, bound: Bound) -> str:
        """How it is computed, in a few words for tables; "" where there is nothing to say."""
