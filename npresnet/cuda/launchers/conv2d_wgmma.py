"""conv2d/wgmma.cu: warpgroup products from shared memory, filled by cp.async. Hopper only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.filters import krsc
from npresnet.network import Array

FILE = "conv2d/wgmma.cu"
STAGES = 4
SLAB_BYTES = 128


class Tile(NamedTuple):
    """rows output positions x columns channels; a warpgroup of 128 threads for every 64 rows."""

    rows: int
    columns: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


TILES = (Tile(128, 128), Tile(128, 64), Tile(64, 128), Tile(64, 64))


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Hopper; 16-bit numbers or tf32; whole 16-byte chunks of channels; one group."""
    return (
        capability == 90
        and element.name in ("float16", "bfloat16", "tf32")
        and shape.groups == 1
        and shape.in_channels * element.item_bytes % 16 == 0
    )


def tiles(shape: ConvShape, element: Element, capability: int, multiprocessors: int = 132) -> list[Tile]:
    """Those not wider than the layer, the likely best first."""
    fitting = [tile for tile in TILES if tile.columns == 64 or shape.out_channels > 64]
    return sorted(fitting, key=lambda tile: estimated_clocks(shape, tile.rows, tile.columns, multiprocessors))


def estimated_clocks(shape: ConvShape, rows: int, columns: int, multiprocessors: int) -> float:
    """Clocks of one slab of K on the busiest multiprocessor: a guess from the data sheet, only to put tiles in order.

    2048 float16 products, or 64 bytes from L2, a clock and multiprocessor, whichever takes longer.
    """
    rounds = -(-blocks(shape, rows, columns) // multiprocessors)
    return rounds * max(rows * columns * 64 / 2048, (rows + columns) * SLAB_BYTES / 64)


def blocks(shape: ConvShape, rows: int, columns: int) -> int:
    """How many tiles cover the output, (M, O)."""
    return -(-shape.M // rows) * -(-shape.out_channels // columns)


def pack(weight: Array, element: Element) -> Array:
    """(O, C, KH, KW) -> (O, KH, KW, C): K-major, as both operands of wgmma are."""
    return krsc(weight, element)


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """None."""
    return 0


def shared_bytes(tile: Tile) -> int:
    """The ring of slabs; the epilogue uses the same bytes afterwards."""
    return STAGES * (tile.rows + tile.columns) * SLAB_BYTES


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
    """One launch: y = relu(conv(x) + bias + residual)."""
    return [
        Launch(
            source=Source(FILE, (("ELEMENT", element.macro),)),
            kernel=f"conv2d_wgmma_{tile}",
            grid=(blocks(shape, tile.rows, tile.columns), 1, 1),
            block=(2 * tile.rows, 1, 1),
            args=(*(np.uint64(address) for address in (x, weight, bias, residual, y)), shape.struct()),
            shared_bytes=shared_bytes(tile),
        )
    ]
