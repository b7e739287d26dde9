"""Step and Plan: a network as a list of calls whose arguments are already made.

A call is `(kernel, args)` and runs as `kernel(*args)`: ready-made arguments rather than closures, so that a step can be
printed, timed, drawn, replayed in a debugger or captured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from npresnet.network import Array

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Tile = tuple[Call, ...]


class Step(NamedTuple):
    """One node of the network: work whose arguments are ready.

    name        the node's name
    tiles       on the CPU each tile is a tuple of calls, run in order by one thread, and tiles of a step may run at the
                same time; on a GPU each is a kernel launch, run one after another
    flops       arithmetic of the whole step, 2 per multiply-add, as the direct sum would need
    size_bytes  bytes that the step must read and write at least: its inputs, weights and output
    algorithm   how it is computed, in a few words for tables
    """

    name: str
    tiles: tuple[Any, ...]
    flops: int
    size_bytes: int
    algorithm: str = ""


class Plan(NamedTuple):
    """Steps bound to one arena, for N images, most often one.

    input        (N, C, H, W) view of the arena: copy the images here
    steps        run one after another, each after the whole of the one before
    outputs      asked name -> (N, C, H, W) or (N, C) view of the arena: copy the results from here
    arena_bytes  bytes that the values take together
    """

    input: Array
    steps: tuple[Step, ...]
    outputs: Mapping[str, Array]
    arena_bytes: int
