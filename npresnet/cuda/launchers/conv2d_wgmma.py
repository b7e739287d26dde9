"""conv2d/wgmma.cu: warpgroup products from shared memory, filled by cp.async. Hopper only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import WGMMA, Phase, Work, bytes_of, products
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers.filters import krsc
from npresnet.network import Array

FILE = "conv2d/wgmma.cu"
STAGES = 4
SLAB_BYTES = 128
SHARED_BYTES = 227 << 10  # of a Hopper multiprocessor
FILL_CLOCKS = 1000  # a guess: until the first slab has come from DRAM
DRAIN_CLOCKS = 300  # a guess: from a tile's last product to its epilogue's full rate


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


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """Those not wider than the layer."""
    return [tile for tile in TILES if tile.columns == 64 or shape.out_channels > 64]


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch. A block waits for its first slabs; only other blocks on the same multiprocessor multiply then."""
    wait = Phase(clocks=FILL_CLOCKS / (SHARED_BYTES // shared_bytes(tile)))
    phases = (wait, *phases_of(shape, element, tile.rows, tile.columns, has_residual=has_residual))
    dram_bytes = bytes_of(shape, element, has_residual=has_residual)
    return [Work(dram_bytes, blocks(shape, tile.rows, tile.columns), phases, products(WGMMA, element))]


def phases_of(shape: ConvShape, element: Element, rows: int, columns: int, *, has_residual: bool) -> tuple[Phase, ...]:
    """Of a tile: multiply; write the sums to shared memory, read them, store them; read the residual.

    wgmma reads 64 rows of x, and all columns of the weights for every 64 rows.
    """
    slabs = -(-shape.K * element.item_bytes // SLAB_BYTES)
    copied, read = rows + columns, rows + rows // 64 * columns
    outputs = rows * columns
    multiply = Phase(
        l2_bytes=slabs * SLAB_BYTES * copied,
        shared_bytes=slabs * SLAB_BYTES * (copied + read),
        flops=2 * outputs * slabs * SLAB_BYTES // element.item_bytes,
    )
    store = Phase(l2_bytes=outputs * element.item_bytes, shared_bytes=2 * 4 * outputs, clocks=DRAIN_CLOCKS)
    residual = Phase(l2_bytes=outputs * element.item_bytes)
    return (multiply, store, residual) if has_residual else (multiply, store)


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
