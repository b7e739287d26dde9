"""Convolutions whose K is split: what the slices need besides a launch. Kernels: conv2d/split_k.cuh."""

from __future__ import annotations

from npresnet.cuda.compiler.cost import Phase
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Dim3

TICKETS = 1024  # counters, one for each tile of a launch's outputs
TICKETS_BYTES = 4 * TICKETS
TICKET_CLOCKS = 1000  # a guess: until a block's sums have got to L2, and the atomic's way there and back


def partial_bytes(shape: ConvShape, splits: int) -> int:
    """Of float32 partial[splits, M, O]; none where K is whole."""
    return 4 * splits * shape.M * shape.out_channels if splits > 1 else 0


def tail(outputs: int, splits: int, end_bytes: int) -> tuple[Phase, ...]:
    """How the last block of a tile of so many outputs ends, for `cost`; none where K is whole.

    end_bytes  of the tile's y and residual
    """
    return (Phase(l2_bytes=4 * outputs * splits + end_bytes, clocks=TICKET_CLOCKS),) if splits > 1 else ()


def check(grid: Dim3) -> None:
    """Raises ValueError where there is no counter for each tile of a grid (tiles, groups, slices of K)."""
    if grid[2] > 1 and grid[0] * grid[1] > TICKETS:
        raise ValueError(f"{grid[0] * grid[1]} tiles fill a GPU without a split of K; there are {TICKETS} tickets")
