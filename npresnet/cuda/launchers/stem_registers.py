"""The stem in strict float32: kernels/stem/registers.cu."""

from __future__ import annotations

from math import prod

import numpy as np

from npresnet.cuda.compiler.cost import FMA, Phase, Work, products
from npresnet.cuda.elements import Element
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import stem
from npresnet.cuda.launchers.stem import Tile
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.network import Array

__all__ = ["FILE", "Tile", "launches", "pack", "supports", "tiles", "work", "workspace_bytes"]

FILE = "stem/registers.cu"
COLUMNS = 64  # filters of a block
OF_PEAK = 0.7  # a guess


def supports(shape: ConvShape, element: Element, capability: int) -> bool:
    """Float32, at most 4 input channels, a window of at most 7 x 8 without groups and dilation, a patch that fits."""
    return element.name == "float32" and stem.is_stem(shape) and _shared_bytes(shape) <= stem.shared_limit(capability)


def tiles(shape: ConvShape, element: Element, capability: int) -> list[Tile]:
    """How many tiles of 8 x 16 positions a block walks through."""
    return stem.walks(shape, COLUMNS)


def work(shape: ConvShape, element: Element, tile: Tile, *, has_residual: bool) -> list[Work]:
    """One launch."""
    k_bytes, positions = 4 * prod(shape.window.kernel_size) * _channels(shape.in_channels), stem.TILE_H * stem.TILE_W
    multiply = Phase(flops=2 * positions * COLUMNS * k_bytes / 4 / OF_PEAK)
    patch_bytes = stem.patch_pixels(shape, shape.window.kernel_size[1]) * 16
    phases = stem.phases_of(tile, COLUMNS * k_bytes, patch_bytes, multiply, COLUMNS, element)
    return [Work(stem.bytes_of_stem(shape, element), stem.blocks(shape, tile, COLUMNS), phases, products(FMA, element))]


def pack(weight: Array, element: Element) -> Array:
    """(O, channels, KH, KW) -> (ceil(O/64), KH, KW, 3 or 4, 64) float32: 64 filters side by side, zeros beyond O."""
    out_channels, channels, KH, KW = weight.shape
    blocks = ceil_div(out_channels, COLUMNS)
    padded = np.zeros((blocks * COLUMNS, _channels(channels), KH, KW), np.float32)
    padded[:out_channels, :channels] = weight
    by_block = padded.reshape(blocks, COLUMNS, -1, KH, KW)
    return np.ascontiguousarray(by_block.transpose(0, 3, 4, 2, 1))


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
    grid = (ceil_div(stem.tile_count(shape), tile.walk), ceil_div(shape.out_channels, COLUMNS), 1)
    args = (*map(np.uint64, (x, weight, bias, y)), shape.struct(), np.int32(tile.walk))
    kernel = f"stem_registers_{_channels(shape.in_channels)}"
    return [Launch(source_for(FILE, element), kernel, grid, (128, 1, 1), args, _shared_bytes(shape))]


def _channels(in_channels: int) -> int:
    return max(in_channels, 3)


def _shared_bytes(shape: ConvShape) -> int:
    KH, KW = shape.window.kernel_size
    return KH * KW * _channels(shape.in_channels) * COLUMNS * 4 + stem.patch_pixels(shape, KW) * 16
