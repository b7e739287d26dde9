"""Launches conv2d/registers.cu: float32 implicit GEMM with 8x8 sums a thread, for every GPU."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import FMA, Phase, Work, bytes_of, products
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers import split_k
from npresnet.cuda.launchers.filters import krsc as pack

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "conv2d/registers.cu"
K_TILE = 8
GRID_LIMIT = 65535  # blocks along y and z
OFFSETS = 2**31  # the kernel's are 32 bits
SPLITS = (2, 3, 4, 6, 8, 12, 16)
MULTIPROCESSORS = 132  # of an H100 or H200; an A100 has 108. Wrong numbers cost speed only.


class Tile(NamedTuple):
    """A kernel of the source, and into how many slices K is split.

    rows, columns  output positions x channels of a block
    splits         slices of K; more than 1 are added up by the block that comes last of a tile's
    """

    rows: int
    columns: int
    splits: int = 1

    def __str__(self) -> str:
        """128x64, or 64x64/8 with 8 splits."""
        return f"{self.rows}x{self.columns}" + (f"/{self.splits}" if self.splits > 1 else "")


SMALL = Tile(64, 64)
BEST = 512 / 605  # of a slice's instructions multiply
# each with its products a clock where the grid is full, of the peak: a guess but for the best
OF_PEAK = {SMALL: 0.85 * BEST, Tile(128, 32): 0.75 * BEST, Tile(128, 64): 0.95 * BEST, Tile(128, 128): BEST}


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Any convolution in float32 with at least 4 filters a group: of a group's tile the rest is thrown away."""
    inputs = shape.images * shape.height * shape.width * shape.in_channels
    return (
        element.name == "float32"
        and (shape.groups == 1 or group_filters(shape) >= 4)
        and shape.groups <= GRID_LIMIT
        and max(inputs, shape.out_channels * shape.K, shape.M) < OFFSETS - 256
    )


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """Those that may win.

    Splits are offered where the smallest tile leaves multiprocessors without a block, as it does for one image.
    """
    whole = [
        tile
        for tile in OF_PEAK
        if tile == SMALL or (not is_scalar(shape) and tile.columns < 2 * max(group_filters(shape), 16))
    ]
    alone = blocks(shape, SMALL)[0] * shape.groups
    split = [
        SMALL._replace(splits=splits)
        for splits in SPLITS
        if alone * splits <= 4 * MULTIPROCESSORS and k_tiles(shape) >= 4 * splits
    ]
    return whole + split


def group_filters(shape: ConvShape) -> int:
    """Filters of one group."""
    return shape.out_channels // shape.groups


def k_tiles(shape: ConvShape) -> int:
    """Slices of K that a block goes through, 8 products each."""
    return -(-shape.K // K_TILE)


def is_scalar(shape: ConvShape) -> bool:
    """Whether a group's channels or filters are not multiples of 4, so that 16-byte accesses are impossible."""
    return bool(shape.in_channels // shape.groups % 4 or group_filters(shape) % 4)


def blocks(shape: ConvShape, tile: Tile) -> tuple[int, int, int]:
    """The grid: tiles of a group's outputs, groups, splits."""
    return -(-shape.M // tile.rows) * -(-group_filters(shape) // tile.columns), shape.groups, tile.splits


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch; with splits, the last block of a tile adds them up."""
    outputs = tile.rows * tile.columns
    slices = -(-k_tiles(shape) // tile.splits) * K_TILE
    multiply = Phase(
        l2_bytes=4 * slices * (tile.rows + tile.columns),
        flops=2 * outputs * slices / OF_PEAK[tile._replace(splits=1)],
    )
    end_bytes = 4 * outputs * (2 if has_residual else 1)
    store = Phase(l2_bytes=4 * outputs if tile.splits > 1 else end_bytes)
    dram_bytes = bytes_of(shape, element, has_residual=has_residual)
    tail = split_k.tail(outputs, tile.splits, end_bytes)
    return [Work(dram_bytes, prod(blocks(shape, tile)), (multiply, store), products(FMA, element), tail)]


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """The splits' sums."""
    return split_k.partial_bytes(shape, tile.splits)


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
    form = ("_scalar" if is_scalar(shape) else "") + ("_split" if split else "")
    launch = Launch(
        Source(FILE, (("ELEMENT", element.macro),)),
        f"conv2d_registers_{tile.rows}x{tile.columns}{form}",
        grid=grid,
        block=(tile.rows * tile.columns // 64, 1, 1),
        args=(*(np.uint64(address) for address in addresses), shape.struct()),
    )
    return [launch]
