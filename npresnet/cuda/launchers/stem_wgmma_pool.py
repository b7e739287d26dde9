"""Images in, the stem and its 3x3/2 max pool in one kernel on Hopper, by wgmma: kernels/stem/wgmma_pool.cu."""

from __future__ import annotations

import numpy as np

from npresnet.cuda.compiler.cost import WGMMA, Phase, Work, products
from npresnet.cuda.elements import Element, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import preprocess, stem
from npresnet.cuda.launchers.stem import CHANNELS
from npresnet.cuda.launchers.stem_pool import PooledStem, Tile, band_heights, band_rows, bytes_moved
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.cuda.pixels import Normalisation
from npresnet.network import Array
from npresnet.window import Window

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work"]

FILE = "stem/wgmma_pool.cu"
FILTERS, COLUMNS, THREADS = 64, 112, 128
TAPS = 8  # pixels of a window's row
PIXELS = 2 * (COLUMNS - 1) + TAPS  # of a row in shared memory
POOL = Window.of(3, 2, 1)
PITCH = FILTERS + 8
ROW_CLOCKS = 250  # pool and epilogue of a row, while the warpgroup multiplies nothing: a guess


def supports(shape: PooledStem, element: Element, capability: int) -> bool:
    """Hopper, 16-bit numbers, at most 4 channels, a window of 7 x 5 to 7 x 8, stride 2; a 3x3/2 pool, padded by 1."""
    window, (OH, OW) = shape.conv.window, shape.conv.out_size
    return (
        capability == 90
        and element.item_bytes == 2
        and stem.is_stem(shape.conv)
        and window.kernel_size[0] == 7
        and window.kernel_size[1] > 4
        and window.stride[1] == 2
        and shape.window == POOL
        and shape.pool.out_size == (ceil_div(OH, 2), ceil_div(OW, 2))  # not what ceil_mode adds
        and _shared_bytes(shape, has_pixels=True) <= stem.shared_limit(capability)
    )


def tiles(shape: PooledStem, element: Element, capability: int) -> list[Tile]:
    """Long bands load the weights and compute the rows between bands less often, short ones keep all at work."""
    return [Tile(rows) for rows in band_heights(shape)]


def work(shape: PooledStem, element: Element, tile: Tile, capability: int, *, has_pixels: bool) -> list[Work]:
    """One launch: a block's weights, then for every row of its band the pixels, the products, the pool."""
    KH, image_bytes = shape.conv.window.kernel_size[0], shape.conv.in_channels * (1 if has_pixels else 4)
    pixels, k_bytes = shape.conv.window.stride[0] * PIXELS, KH * TAPS * CHANNELS * element.item_bytes
    pooled = FILTERS * COLUMNS * element.item_bytes // 4
    row = Phase(
        l2_bytes=pixels * image_bytes + pooled,
        shared_bytes=(FILTERS + COLUMNS) * k_bytes + 2 * pixels * CHANNELS * element.item_bytes + 2 * pooled,
        flops=2 * FILTERS * COLUMNS * k_bytes // element.item_bytes,
        clocks=ROW_CLOCKS,
    )
    weights = Phase(l2_bytes=FILTERS * k_bytes, shared_bytes=FILTERS * k_bytes)
    phases = (weights, *(band_rows(shape, tile.rows) * (row,)))
    return [Work(bytes_moved(shape, element, image_bytes), _blocks(shape, tile), phases, products(WGMMA, element))]


def pack(weight: Array, element: Element) -> Array:
    """(O, channels, KH, KW) -> (ceil(O/64), KH*4, 64, 8), element's storage: 16-byte chunks of K of 64 filters each."""
    out_channels, channels, KH, KW = weight.shape
    blocks = ceil_div(out_channels, FILTERS)
    padded = np.zeros((blocks * FILTERS, KH, TAPS, CHANNELS), weight.dtype)
    padded[:out_channels, :, :KW, :channels] = weight.transpose(0, 2, 3, 1)
    chunks = padded.reshape(blocks, FILTERS, KH * 4, 8).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(store(chunks, element))


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
    """As stem_mma_pool's, but for how the weights lie and the order in which wgmma sums."""
    grid = (_blocks(shape, tile) // _column_blocks(shape), _column_blocks(shape), 1)
    args = (
        *map(np.uint64, (images, weight, bias, y)),
        *(shape.conv.struct(), shape.pool.struct(), np.int32(tile.rows)),
    )
    kernel = "stem_wgmma_pool_planes"
    if pixels is not None:
        kernel, args = "stem_wgmma_pool_bytes", (*args, preprocess.struct(*pixels))
    shared = _shared_bytes(shape, has_pixels=pixels is not None)
    return [Launch(source_for(FILE, element), kernel, grid, (THREADS, 1, 1), args, shared)]


def _blocks(shape: PooledStem, tile: Tile) -> int:
    """Of the whole grid: pieces of 112 columns, every 110 beyond the first, times bands."""
    OH, OW = shape.pool.out_size
    across = max(ceil_div(OW - 1, COLUMNS // 2 - 1), 1)
    return shape.conv.images * across * ceil_div(OH, tile.rows) * _column_blocks(shape)


def _column_blocks(shape: PooledStem) -> int:
    return ceil_div(shape.conv.out_channels, FILTERS)


def _shared_bytes(shape: PooledStem, *, has_pixels: bool) -> int:
    """Weights, the ring of rows of pixels, a pooled row; the table for pixels: all of two bytes."""
    KH, stride = shape.conv.window.kernel_size[0], shape.conv.window.stride[0]
    ring = (KH + stride) * PIXELS * CHANNELS
    numbers = KH * TAPS * CHANNELS * FILTERS + ring + COLUMNS // 2 * PITCH
    return 2 * (numbers + (CHANNELS * 256 if has_pixels else 0))
