"""Images in, the stem and its max pool in one kernel, on tensor cores by mma.sync: kernels/stem/mma_pool.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.compiler.cost import MMA, Phase, Work, products
from npresnet.cuda.elements import Element
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import preprocess, stem
from npresnet.cuda.launchers.stem import CHANNELS, TILE_H, TILE_W
from npresnet.cuda.launchers.stem_mma import pack, products_of_a_tile
from npresnet.cuda.launchers.stem_pool import (
    PooledStem,
    Tile,
    band_heights,
    band_rows,
    bands,
    bytes_moved,
    pools_within,
)
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.cuda.pixels import Normalisation

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work"]

FILE = "stem/mma_pool.cu"
WARPS = 4
TABLE = 4 * 256  # numbers, for pixels
MOST_POOL_ROWS = 9


def supports(shape: PooledStem, element: Element, capability: int) -> bool:
    """What stem_mma takes, and a pool without dilation of at most 9 x 16, as far as shared memory goes.

    float16 from sm_75 on, bfloat16 and tf32 from sm_80 on.
    """
    if element.name == "float32" or capability < (75 if element.name == "float16" else 80):
        return False
    return (
        stem.is_stem(shape.conv)
        and pools_within(shape, TILE_W, MOST_POOL_ROWS)
        and bool(_columns(shape, element, capability))
    )


def tiles(shape: PooledStem, element: Element, capability: int) -> list[Tile]:
    """Long bands load the weights and compute the rows between bands less often, short ones keep all at work."""
    return [Tile(rows) for rows in band_heights(shape)]


def work(shape: PooledStem, element: Element, tile: Tile, capability: int, *, has_pixels: bool) -> list[Work]:
    """One launch: a block's weights, then for every 8 rows of its band the patch, the products, ring and pool."""
    columns, image_bytes = _columns(shape, element, capability), shape.conv.in_channels * (1 if has_pixels else 4)
    k_bytes, multiply = products_of_a_tile(shape.conv, columns, element)
    pixels = stem.patch_pixels(shape.conv, stem.taps(shape.conv.window.kernel_size[1]))
    outputs = TILE_H * TILE_W * columns * element.item_bytes
    window, (down, across) = shape.window.kernel_size, shape.window.stride
    step = (
        Phase(l2_bytes=pixels * image_bytes, shared_bytes=2 * pixels * CHANNELS * element.item_bytes),
        multiply,
        Phase(outputs / (down * across), outputs * (1 + window[0] * window[1] / (down * across))),
    )
    weights = Phase(l2_bytes=columns * k_bytes, shared_bytes=columns * k_bytes)
    phases = (weights, *(step * ceil_div(band_rows(shape, tile.rows), TILE_H)))
    blocks = bands(shape, tile.rows, TILE_W) * ceil_div(shape.conv.out_channels, columns)
    return [Work(bytes_moved(shape, element, image_bytes), blocks, phases, products(MMA, element))]


def launches(
    shape: PooledStem,
    element: Element,
    tile: Tile,
    capability: int,
    *,
    images: int,
    weight: int,
    bias: int,
    y: int,
    pixels: Normalisation | None = None,
) -> list[Launch]:
    """y = max_pool(relu(conv(images) + bias)), with the bits of the kernels that do one each.

    images  (N, C, H, W) float32, or where `pixels` says how they are normalised (N, H, W, C) uint8
    weight  as `pack` gives it; bias (O,) float32
    y       (N, PH, PW, O) element's storage
    """
    conv, columns = shape.conv, _columns(shape, element, capability)
    kernel = f"stem_mma_pool_{columns}" + ("" if stem.windows_aligned(shape.conv, element) else "_apart")
    grid = (bands(shape, tile.rows, TILE_W), ceil_div(conv.out_channels, columns), 1)
    args = (*map(np.uint64, (images, weight, bias, y)), conv.struct(), shape.pool.struct(), np.int32(tile.rows))
    if pixels is None:
        kernel, table = f"{kernel}_planes", 0
    else:
        kernel, table, args = f"{kernel}_bytes", TABLE, (*args, preprocess.struct(*pixels))
    shared = _shared_bytes(shape, element, columns, table)
    return [Launch(source_for(FILE, element), kernel, grid, (32 * WARPS, 1, 1), args, shared)]


def _columns(shape: PooledStem, element: Element, capability: int) -> int:
    """Filters of a block: 64 for the wide window, or 32 where 64 do not fit; 0 where 32 do not fit either."""
    wide = shape.conv.window.kernel_size[1] > 4 and shape.conv.out_channels > 32
    options = (64, 32) if wide and stem.windows_aligned(shape.conv, element) else (32,)
    limit = stem.shared_limit(capability)
    return next((n for n in options if _shared_bytes(shape, element, n) <= limit), 0)


def _shared_bytes(shape: PooledStem, element: Element, columns: int, table: int = TABLE) -> int:
    """The ring, weights with 16 bytes more a row and the patch; the bias; the table for pixels."""
    (KH, KW), ring_rows = shape.conv.window.kernel_size, TILE_H + shape.window.kernel_size[0] - 1
    ring = ring_rows * TILE_W * (columns + 8)
    weights = columns * (KH * stem.taps(KW) * CHANNELS + 16 // element.item_bytes)
    patch = stem.patch_pixels(shape.conv, stem.taps(KW)) * CHANNELS
    return (ring + weights + patch + table) * element.item_bytes + columns * 4
