"""Launches conv2d/im2col.cu and conv2d/gemm.cu: every window written out as a row of a matrix, then one product."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cuda.compiler.cost import Work
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch, Source
from npresnet.cuda.launchers import conv2d_tiled
from npresnet.cuda.launchers.filters import krsc as pack

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "conv2d/gemm.cu"
IM2COL_FILE = "conv2d/im2col.cu"
IM2COL_THREADS = 256
GRID_LIMIT = 65535  # blocks along y and z


class Tile(NamedTuple):
    """Outputs of a block, size x size: there is one compiled variant only."""

    size: int = 16

    def __str__(self) -> str:
        return f"{self.size}x{self.size}"


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Everything that a grid can hold."""
    return shape.groups <= GRID_LIMIT and shape.out_channels // shape.groups <= GRID_LIMIT * Tile().size


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """The one there is."""
    return [Tile()]


def is_matrix(shape: ConvShape) -> bool:
    """Whether x is the matrix already: each window is one pixel, and every pixel has its window."""
    return shape.window.is_pointwise and max(shape.window.stride) == 1


def matrix_size(shape: ConvShape) -> int:
    """Numbers of the matrix (M, groups*K)."""
    return shape.M * shape.groups * shape.K


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """The matrix is written and read back; the product is conv2d_tiled's."""
    (product,) = conv2d_tiled.work(shape, element, conv2d_tiled.Tile(tile.size), has_residual=has_residual)
    if is_matrix(shape):
        return [product]
    matrix_bytes = matrix_size(shape) * element.item_bytes
    x_bytes = shape.images * shape.height * shape.width * shape.in_channels * element.item_bytes
    return [Work(x_bytes + matrix_bytes), product._replace(dram_bytes=product.dram_bytes - x_bytes + matrix_bytes)]


def workspace_bytes(shape: ConvShape, element: Element, tile: Tile) -> int:
    """The matrix; KH*KW times x where the stride is 1."""
    return 0 if is_matrix(shape) else matrix_size(shape) * element.item_bytes


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
    """The matrix, unless x is one; then the product with the filters and the epilogue."""
    defines, conv = (("ELEMENT", element.macro),), shape.struct()
    im2col = Launch(
        Source(IM2COL_FILE, defines),
        "im2col",
        grid=(-(-matrix_size(shape) // IM2COL_THREADS), 1, 1),
        block=(IM2COL_THREADS, 1, 1),
        args=(np.uint64(x), np.uint64(workspace), conv),
    )
    matrix = x if is_matrix(shape) else workspace
    addresses = tuple(np.uint64(address) for address in (matrix, weight, bias, residual, y))
    filters = shape.out_channels // shape.groups
    gemm = Launch(
        Source(FILE, defines),
        "gemm",
        grid=(-(-shape.M // tile.size), -(-filters // tile.size), shape.groups),
        block=(tile.size, tile.size, 1),
        args=(*addresses, conv),
    )
    return [gemm] if is_matrix(shape) else [im2col, gemm]
