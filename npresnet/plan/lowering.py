"""Lowering: a backend's implementation of one operation. Each backend has a single table, operation -> lowering.

The compiler calls these methods for every node, in this order:

    choose     select an algorithm; only convolutions have several
    scratch    memory needed besides inputs, weights and result
    lower      the work with its arguments: tiles of NumPy calls on the CPU, kernel launches on a GPU

Backends extend the protocol as necessary (halos, prepacked weights; storage, workspaces).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from npresnet.errors import ArchitectureError
from npresnet.network import Node

Request = TypeVar("Request", contravariant=True)
Bound = TypeVar("Bound", contravariant=True)
Place = TypeVar("Place", contravariant=True)
Work = TypeVar("Work")
Found = TypeVar("Found")


class Lowering(Protocol[Request, Bound, Place, Work]):
    """One operation on one backend.

    Request  known before any choice: the node, the shapes, the machine
    Bound    the same with the choice and the memory layout
    Place    memory: arrays on the CPU, addresses on a GPU
    Work     a tile, or a launch
    """

    def choose(self, request: Request) -> Any:
        """The algorithm, as an object whose str() is its name in tables; None if there is only one."""

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        """Purpose -> amount of memory, in the backend's unit."""

    def lower(self, bound: Bound, place: Place) -> list[Work]:
        """The node's work, bound to memory."""

    def algorithm(self, bound: Bound) -> str:
        """A short description of the algorithm for tables, or ""."""


def find_lowering(table: Mapping[str, Found], node: Node, backend: str) -> Found:
    """The node's lowering in a backend's table.

    Raises ArchitectureError where the table lacks the operation or the activation.
    """
    for name in (node.op, *([] if node.activation is None else [node.activation])):
        if name not in table:
            raise ArchitectureError(f"{node.name}: the {backend} backend has no operation {name!r}")
    return table[node.op]
