"""The stem on tensor cores: kernels/stem/mma.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.compiler.cost import MMA, Phase, Work, products
from npresnet.cuda.elements import Element, store
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import stem
from npresnet.cuda.launchers.stem import CHANNELS, Tile
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.network import Array

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "stem/mma.cu"
WARPS = 4


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """At most 4 input channels, a window of at most 7 x 8 without groups and dilation, and a patch that fits.

    float16 from sm_75 on, bfloat16 and tf32 from sm_80 on.
    """
    if element.name == "float32" or capability < (75 if element.name == "float16" else 80) or not stem.is_stem(shape):
        return False
    return _shared_bytes(shape, element) <= stem.shared_limit(capability)


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """How many tiles of 8 x 16 positions a block walks through."""
    return stem.walks(shape, _columns(shape, element))


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch. Each warp reads all weights of the block from shared memory for every tile of 8 x 16 positions."""
    columns, pixel = _columns(shape, element), CHANNELS * element.item_bytes
    k_bytes, multiply = products_of_a_tile(shape, columns, element)
    patch_bytes = stem.patch_pixels(shape, stem.taps(shape.window.kernel_size[1])) * pixel
    phases = stem.phases_of(tile, columns * k_bytes, patch_bytes, multiply, columns, element)
    return [Work(stem.bytes_of_stem(shape, element), stem.blocks(shape, tile, columns), phases, products(MMA, element))]


def products_of_a_tile(shape: ConvShape, columns: int, element: Element) -> tuple[int, Phase]:
    """Bytes of K; what a block does for a tile of 8 x 16 positions once patch and weights are there."""
    KH, KW = shape.window.kernel_size
    k_bytes = KH * stem.taps(KW) * CHANNELS * element.item_bytes
    shared_bytes = (stem.TILE_H * stem.TILE_W + WARPS * columns) * k_bytes
    return k_bytes, Phase(0, shared_bytes, 2 * stem.TILE_H * stem.TILE_W * columns * k_bytes // element.item_bytes)


def pack(weight: Array, element: Element) -> Array:
    """(O, channels, KH, KW) -> (O, KH, taps, 4), element's storage: KW rounded up to 4 or 8; zeros where padded."""
    out_channels, channels, KH, KW = weight.shape
    padded = np.zeros((out_channels, KH, stem.taps(KW), CHANNELS), weight.dtype)
    padded[:, :, :KW, :channels] = weight.transpose(0, 2, 3, 1)
    return store(padded, element)


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
    """As every convolution's, but x is (N, H, W, 4) with zeros in the channels that are missing; no residual."""
    stem.refuse_residual(residual)
    columns, taps = _columns(shape, element), stem.taps(shape.window.kernel_size[1])
    kernel = f"stem_mma_{columns}x{taps}" + ("" if stem.windows_aligned(shape, element) else "_apart")
    grid = (ceil_div(stem.tile_count(shape), tile.walk), ceil_div(shape.out_channels, columns), 1)
    args = (*map(np.uint64, (x, weight, bias, y)), shape.struct(), np.int32(tile.walk))
    return [Launch(source_for(FILE, element), kernel, grid, (32 * WARPS, 1, 1), args, _shared_bytes(shape, element))]


def _columns(shape: ConvShape, element: Element) -> int:
    """Filters of a block: 64 for the wide window, which reads its patch most often."""
    return 64 if shape.window.kernel_size[1] > 4 and stem.windows_aligned(shape, element) else 32


def _shared_bytes(shape: ConvShape, element: Element) -> int:
    """Staged sums of every warp, 16 x (columns + 8) floats; weights, 16 bytes more a row; the patch."""
    columns, pixel = _columns(shape, element), CHANNELS * element.item_bytes
    taps = stem.taps(shape.window.kernel_size[1])
    weights = columns * (shape.window.kernel_size[0] * taps * pixel + 16)
    return WARPS * 16 * (columns + 8) * 4 + weights + stem.patch_pixels(shape, taps) * pixel
