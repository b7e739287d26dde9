"""conv2d/wgmma_tma.cu: the copy engine feeds two multiplying warpgroups, blocks go from tile to tile. Hopper only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import WGMMA, Work, bytes_of, products
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers import conv2d_wgmma
from npresnet.cuda.launchers.conv2d_wgmma import blocks, pack, phases_of, workspace_bytes
from npresnet.cuda.runtime import tensor_map
from npresnet.cuda.runtime.tensor_map import SLAB_BYTES, TensorMap

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "conv2d/wgmma_tma.cu"
THREADS = 384  # a producing warpgroup and two consumers
CONSUMER_WARPS = 8


class Variant(NamedTuple):
    """One kernel of the source: its stages, and how many channels a warp stages at a time in the epilogue."""

    stages: int
    width: int


VARIANTS = {
    (128, 64): Variant(7, 64),
    (128, 128): Variant(5, 64),
    (128, 256): Variant(4, 32),
    (256, 64): Variant(4, 64),
    (256, 128): Variant(4, 32),
}


class Tile(NamedTuple):
    """rows output positions x columns channels at a time, by `blocks` blocks that go on to further tiles.

    schedule  how a block's two consumers share the work: cooperative is both on one tile, each with half of its rows
    """

    rows: int
    columns: int
    blocks: int
    schedule: str = "cooperative"

    def __str__(self) -> str:
        """128x256 cooperative."""
        return f"{self.rows}x{self.columns} {self.schedule}"


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """What conv2d_wgmma does, if channels come in whole slabs and the copy engine's fields can hold the window."""
    return (
        conv2d_wgmma.supports(shape, element, capability)
        and shape.in_channels * element.item_bytes % SLAB_BYTES == 0
        and tensor_map.takes_window(shape.window)
    )


def tiles(shape: ConvShape, element: Element, capability: int, multiprocessors: int = 132) -> list[Tile]:
    """Those not much wider than the layer; one block a multiprocessor."""
    fitting = [(rows, columns) for rows, columns in VARIANTS if columns == 64 or columns < 2 * shape.out_channels]
    return [Tile(rows, columns, multiprocessors) for rows, columns in fitting]


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch; its blocks fetch the next tile's operands during a tile's epilogue."""
    phases = phases_of(shape, element, tile.rows, tile.columns, has_residual=has_residual)
    dram_bytes = bytes_of(shape, element, has_residual=has_residual)
    return [Work(dram_bytes, blocks(shape, tile.rows, tile.columns), phases, products(WGMMA, element))]


def shared_bytes(tile: Tile) -> int:
    """The stages, a strip of float32 sums for each consuming warp, and two mbarriers a stage."""
    variant = VARIANTS[tile.rows, tile.columns]
    strip = 16 * (variant.width + 8) * 4  # kernels/common/epilogue_tile.cuh, StagedTile<16, width, 32>
    return variant.stages * ((tile.rows + tile.columns) * SLAB_BYTES + 16) + CONSUMER_WARPS * strip


def is_matrix(shape: ConvShape) -> bool:
    """A 1x1 window that steps by 1: x is im2col's matrix already."""
    return shape.window.is_pointwise and shape.window.stride == (1, 1)


def maps(shape: ConvShape, element: Element, tile: Tile, x: int, weight: int) -> tuple[TensorMap, TensorMap]:
    """The activations, as (M, K), and the weights, (O, K)."""
    if is_matrix(shape):
        activations = tensor_map.tile(x, element, shape.M, shape.K, tile.rows)
    else:
        activations = tensor_map.im2col(x, element, shape, tile.rows)
    return activations, tensor_map.tile(weight, element, shape.out_channels, shape.K, tile.columns)


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
) -> list[Launch]:
    """One launch: y = relu(conv(x) + bias + residual)."""
    return [
        Launch(
            source=Source(FILE, (("ELEMENT", element.macro),)),
            kernel=f"conv2d_wgmma_tma_{tile.rows}x{tile.columns}",
            grid=(min(tile.blocks, blocks(shape, tile.rows, tile.columns)), 1, 1),
            block=(THREADS, 1, 1),
            args=(
                *maps(shape, element, tile, x, weight),
                *(np.uint64(address) for address in (bias, residual, y)),
                shape.struct(),
            ),
            shared_bytes=shared_bytes(tile),
        )
    ]
