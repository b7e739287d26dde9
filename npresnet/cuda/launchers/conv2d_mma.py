"""conv2d/mma.cu: implicit GEMM on tensor cores by mma.sync, for every GPU since Turing."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import MMA, Phase, Work, bytes_of, products
from npresnet.cuda.elements import Element, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers import split_k
from npresnet.network import Array

FILE = "conv2d/mma.cu"
ROW_BYTES = 64  # of a slice's row in shared memory: the k-tile
WARP_COLUMNS = 64
SLAB_BYTES = 16 * (WARP_COLUMNS + 8) * 4  # of shared memory a warp, for the epilogue
LARGEST_KERNEL = 11  # taps are bits
SLICE_CLOCKS = 60  # a guess: what the barrier of a slice costs
SPLITS = (2, 3, 4, 6, 8, 12, 16)
MULTIPROCESSORS = 132  # of an H100 or H200; an A100 has 108. Wrong numbers cost speed only.


class Tile(NamedTuple):
    """A kernel of the source, and into how many slices K is split.

    rows, columns  output positions x channels of a block
    warp_rows      of a warp, which always has 64 columns
    stages         slices of K in shared memory
    splits         slices of K; more than 1 are added up by the block that comes last of a tile's
    """

    rows: int
    columns: int
    warp_rows: int
    stages: int = 4
    splits: int = 1

    def __str__(self) -> str:
        """128x64s4, or 64x64s4/8 with 8 splits."""
        return f"{self.rows}x{self.columns}s{self.stages}" + (f"/{self.splits}" if self.splits > 1 else "")

    @property
    def warps(self) -> int:
        """Of a block."""
        return self.rows // self.warp_rows * (self.columns // WARP_COLUMNS)


SMALL = Tile(64, 64, 16)
TILES = (SMALL, Tile(128, 64, 32), Tile(128, 128, 64), Tile(256, 128, 64))


def k_tile(element: Element) -> int:
    """Products that a slice holds for one output."""
    return ROW_BYTES // element.item_bytes


def k_tiles(shape: ConvShape, element: Element) -> int:
    """Slices of K, the last one filled up with zeros."""
    return -(-shape.K // k_tile(element))


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Whole 16-byte chunks of channels in a group, offsets within a tile below 2**31; Turing has float16 only."""
    if element.name == "float32" or (capability < 80 and element.name != "float16"):
        return False
    positions = shape.out_size[0] * shape.out_size[1]
    image = shape.height * shape.width * shape.in_channels
    return (
        capability >= 75
        and shape.in_channels // shape.groups * element.item_bytes % 16 == 0
        and max(shape.window.kernel_size) <= LARGEST_KERNEL
        and (256 // positions + 3) * image < 2**31
        and 128 * k_tiles(shape, element) * k_tile(element) < 2**31
        and shape.M + 256 < 2**31
    )


def blocks(shape: ConvShape, tile: Tile) -> tuple[int, int, int]:
    """The grid: tiles of a group's outputs, groups, slices of K."""
    columns = -(-(shape.out_channels // shape.groups) // tile.columns)
    return -(-shape.M // tile.rows) * columns, shape.groups, tile.splits


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """Those that may win.

    Splits are offered where the smallest tile leaves multiprocessors without a block, as it does for one image.
    """
    stages = 4 if capability >= 80 else 2
    whole = [
        tile._replace(stages=stages)
        for tile in TILES
        if (capability >= 80 or tile.rows != tile.columns or tile == SMALL)  # 128x128 needs cp.async
        and (tile == SMALL or tile.columns < 2 * shape.out_channels // shape.groups)
    ]
    alone = blocks(shape, SMALL)[0] * shape.groups
    split = [
        SMALL._replace(stages=stages, splits=splits)
        for splits in SPLITS
        if alone * splits <= 2 * MULTIPROCESSORS and k_tiles(shape, element) >= 2 * splits
    ]
    return whole + split


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch; with splits, the last block of a tile adds them up.

    A warp reads its own rows and columns from shared memory, so that a block reads them several times.
    """
    outputs = tile.rows * tile.columns
    slices = -(-k_tiles(shape, element) // tile.splits)
    k_bytes = slices * ROW_BYTES
    copied, read = tile.rows + tile.columns, tile.warps * (tile.warp_rows + WARP_COLUMNS)
    multiply = Phase(
        l2_bytes=k_bytes * copied,
        shared_bytes=k_bytes * (copied + read),
        flops=2 * outputs * k_bytes // element.item_bytes,
        clocks=SLICE_CLOCKS * slices,
    )
    split, end_bytes = tile.splits > 1, outputs * element.item_bytes * (2 if has_residual else 1)
    store = Phase(l2_bytes=4 * outputs if split else end_bytes, shared_bytes=0 if split else 2 * 4 * outputs)
    dram_bytes = bytes_of(shape, element, has_residual=has_residual)
    tail = split_k.tail(outputs, tile.splits, end_bytes)
    return [Work(dram_bytes, prod(blocks(shape, tile)), (multiply, store), products(MMA, element), tail)]


def pack(weight: Array, element: Element) -> Array:
    """(O, C/groups, KH, KW) -> (O, k_tiles*k_tile): KH, KW, C/groups row by row, and zeros to the last slice's end."""
    rows = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return np.ascontiguousarray(store(np.pad(rows, ((0, 0), (0, -rows.shape[1] % k_tile(element)))), element))


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """The slices' sums, float32 (splits, M, O)."""
    return split_k.partial_bytes(shape, tile.splits)


def shared_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """The ring, no longer than there are k-tiles so that short layers leave room for more blocks; or the epilogue's."""
    stages = min(tile.stages, -(-k_tiles(shape, element) // tile.splits))
    return max(stages * (tile.rows + tile.columns) * ROW_BYTES, tile.warps * SLAB_BYTES)


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
    """One launch: y = relu(conv(x) + bias + residual).

    workspace  for `workspace_bytes` bytes, which the launch overwrites
    tickets    of `split_k.TICKETS_BYTES` bytes: zero before the first launch on a stream, and zero after each
    """
    grid, split = blocks(shape, tile), tile.splits > 1
    split_k.check(grid)
    addresses = (x, weight, bias, residual, y, *((workspace, tickets) if split else ()))
    launch = Launch(
        source=Source(FILE, (("ELEMENT", element.macro),)),
        kernel=f"conv2d_mma_{tile.rows}x{tile.columns}" + ("_split" if split else ""),
        grid=grid,
        block=(32 * tile.warps, 1, 1),
        args=(*(np.uint64(address) for address in addresses), shape.struct()),
        shared_bytes=shared_bytes(shape, element, tile),
    )
    return [launch]
