"""Step and Plan: a network as a list of calls with their arguments.

A call is `(kernel, args)` and runs as `kernel(*args)`: explicit arguments rather than closures, so that a step can be
printed, timed, drawn, replayed in a debugger or captured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from npresnet.network import Array

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Tile = tuple[Call, ...]


class Step(NamedTuple):
    """The work of one node of the network.

    name        the node's name
    tiles       on the CPU each tile is a tuple of calls, run in order by one thread, and tiles of a step may run
                concurrently; on a GPU each is a kernel launch, run one after another
    flops       operations of the whole step, 2 per multiply-add, as for the direct sum
    size_bytes  bytes that the step must at least read and write: its inputs, weights and output
    algorithm   a short description for tables
    barriers    numbers of tiles, in ascending order, that read what all earlier tiles of the step have computed outside
                the values of the plan: the statistics of an image before it is normalised
    """

    name: str
    tiles: tuple[Any, ...]
    flops: int
    size_bytes: int
    algorithm: str = ""
    barriers: tuple[int, ...] = ()

    def phases(self) -> list[tuple[int, int]]:
        """(start, stop) of the tiles between barriers: those of one phase are independent of each other."""
        edges = [0, *self.barriers, len(self.tiles)]
        return list(pairwise(edges))


class Plan(NamedTuple):
    """Steps bound to one arena, for N images, usually one.

    input        (N, C, H, W) view of the arena for the images
    steps        run one after another
    outputs      output name -> (N, C, H, W) or (N, C) view of the arena
    arena_bytes  memory of all values
    """

    input: Array
    steps: tuple[Step, ...]
    outputs: Mapping[str, Array]
    arena_bytes: int
