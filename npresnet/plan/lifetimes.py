"""Lifetimes of values: from the node that computes a value to the last node that reads it."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.network import INPUT, Network


class Lifetime(NamedTuple):
    """Positions in `network.nodes`, inclusive; INPUT starts at -1, outputs live until len(network)."""

    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both values are live at the same position; a node's inputs and output overlap."""
        return self.first <= other.last and other.first <= self.last


def value_lifetimes(network: Network) -> dict[str, Lifetime]:
    """Name -> Lifetime for INPUT and every node. An unused value lives only while it is computed."""
    first = {INPUT: -1}
    last = {INPUT: -1}
    for position, node in enumerate(network):
        first[node.name] = last[node.name] = position
        for name in node.inputs:
            last[name] = position
    for name in network.outputs.values():
        last[name] = len(network)
    return {name: Lifetime(first[name], last[name]) for name in first}
