"""What the launchers of the stem share: what a stem is, its tiles, its patch. See kernels/stem/patch.cuh."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.cuda.compiler.cost import Phase, bytes_of
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers.vectors import ceil_div

CHANNELS = 4  # of x as it lies in memory: (N, H, W, 4), zeros in the channels that the image does not have
TILE_H, TILE_W = 8, 16
KIB = 1024


class Tile(NamedTuple):
    """One way to run the stem.

    walk   tiles of 8 x 16 output positions that a block computes, one after the other, with the weights it loaded once
    """

    walk: int

    def __str__(self) -> str:
        return f"walk{self.walk}"


def is_stem(shape: ConvShape) -> bool:
    """At most 4 input channels in one group, a window of at most 7 x 8, no dilation."""
    KH, KW = shape.window.kernel_size
    window_fits = KH <= 7 and KW <= 8 and shape.window.dilation == (1, 1)
    return shape.in_channels <= CHANNELS and shape.groups == 1 and window_fits


def tile_count(shape: ConvShape) -> int:
    """Tiles of all images."""
    OH, OW = shape.out_size
    return shape.images * ceil_div(OH, TILE_H) * ceil_div(OW, TILE_W)


def walks(shape: ConvShape, columns: int) -> list[Tile]:
    """Long walks load the weights less often, short ones give every multiprocessor a block."""
    return [Tile(walk) for walk in (16, 8, 4, 2, 1) if walk == 1 or blocks(shape, Tile(walk), columns) >= 256]


def blocks(shape: ConvShape, tile: Tile, columns: int) -> int:
    """Of the whole grid."""
    return ceil_div(tile_count(shape), tile.walk) * ceil_div(shape.out_channels, columns)


def phases_of(
    tile: Tile, weight_bytes: int, patch_bytes: int, multiply: Phase, columns: int, element: Element
) -> tuple[Phase, ...]:
    """Of a block: its weights; then for each tile of its walk the patch, the products, and the epilogue."""
    outputs = TILE_H * TILE_W * columns
    of_tile = (
        Phase(l2_bytes=patch_bytes, shared_bytes=patch_bytes),
        multiply,
        Phase(l2_bytes=outputs * element.item_bytes, shared_bytes=2 * 4 * outputs),
    )
    return Phase(l2_bytes=weight_bytes, shared_bytes=weight_bytes), *(of_tile * tile.walk)


def bytes_of_stem(shape: ConvShape, element: Element) -> int:
    """From and to DRAM: `cost.bytes_of` with pixels of 4 channels."""
    return bytes_of(shape._replace(in_channels=CHANNELS), element, has_residual=False)


def patch_pixels(shape: ConvShape, taps: int) -> int:
    """Pixels that a tile's windows see together; `taps` is the width of a window as the kernel takes it."""
    (stride_h, stride_w), KH = shape.window.stride, shape.window.kernel_size[0]
    return ((TILE_H - 1) * stride_h + KH) * ((TILE_W - 1) * stride_w + taps)


def taps(KW: int) -> int:
    """Pixels of a window's row, as tensor cores take it."""
    return 4 if KW <= 4 else 8


def windows_aligned(shape: ConvShape, element: Element) -> bool:
    """Whether every window begins on 16 bytes of the patch."""
    return shape.window.stride[1] * CHANNELS * element.item_bytes % 16 == 0


def shared_limit(capability: int) -> int:
    """Bytes of shared memory that a block may ask for."""
    return {75: 64 * KIB, 80: 163 * KIB, 90: 227 * KIB, 100: 227 * KIB}.get(capability, 99 * KIB)


def refuse_residual(residual: int) -> None:
    """Raises ValueError: nothing comes before a stem that could be added to it."""
    if residual:
        raise ValueError("the stem's kernels take no residual")
