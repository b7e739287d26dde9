"""Launches conv2d/tiled.cu: implicit GEMM with shared tiles, any convolution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import FMA, Phase, Work, bytes_of, products
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.filters import krsc as pack

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "conv2d/tiled.cu"
OF_PEAK = 0.12  # a guess: two loads from shared memory for each multiply-add
GRID_LIMIT = 65535  # blocks along y and z


class Tile(NamedTuple):
    """Outputs of a block, size x size, one a thread: 16 or 32."""

    size: int

    def __str__(self) -> str:
        return f"{self.size}x{self.size}"


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Everything that a grid can hold."""
    return shape.groups <= GRID_LIMIT and shape.out_channels // shape.groups <= GRID_LIMIT * 16


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """Both; first the small one where a large one would be half empty."""
    narrow = shape.out_channels // shape.groups <= 16 or shape.M <= 16
    return [Tile(16), Tile(32)] if narrow else [Tile(32), Tile(16)]


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch; a block computes size x size outputs of one group."""
    filters = shape.out_channels // shape.groups
    blocks = -(-shape.M // tile.size) * -(-filters // tile.size) * shape.groups
    phase = Phase(flops=2 * tile.size**2 * shape.K / OF_PEAK)
    return [Work(bytes_of(shape, element, has_residual=has_residual), blocks, (phase,), products(FMA, element))]


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """None."""
    return 0


def launches(
    shape: ConvShape,
    element: Element,
    tile: Tile,
    *,
    x: int,
    weight: int,
    bias: int,
    residual: int,
    y: int,
    workspace: int,
    tickets: int,
) -> list[Launch]:
    """A block for each tile of positions, of a group's filters, and group."""
    addresses = tuple(np.uint64(address) for address in (x, weight, bias, residual, y))
    filters = shape.out_channels // shape.groups
    return [
        Launch(
            Source(FILE, (("ELEMENT", element.macro),)),
            f"conv2d_tiled_{tile.size}",
            grid=(-(-shape.M // tile.size), -(-filters // tile.size), shape.groups),
            block=(tile.size, tile.size, 1),
            args=(*addresses, shape.struct()),
        )
    ]
