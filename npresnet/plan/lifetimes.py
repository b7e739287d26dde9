"""When each value is needed: from the node that makes it to the last node that reads it."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.network import INPUT, Network


class Lifetime(NamedTuple):
    """Positions in `network.nodes`, both counted; INPUT is made at -1, an output lives to len(network)."""

    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both values are needed at the same moment: a node reads its inputs while it writes its output."""
        return self.first <= other.last and other.first <= self.last


def value_lifetimes(network: Network) -> dict[str, Lifetime]:
    """Name -> Lifetime for INPUT and every node. A value that nobody reads lives while it is made."""
    first = {INPUT: -1}
    last = {INPUT: -1}
    for position, node in enumerate(network):
        first[node.name] = last[node.name] = position
        for name in node.inputs:
            last[name] = position
    for name in network.outputs.values():
        last[name] = len(network)
    return {name: Lifetime(first[name], last[name]) for name in first}
