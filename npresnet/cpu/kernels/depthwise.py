"""Depthwise convolution: each channel has a filter of its own, and no channel is summed with another.

For a band of output rows i (NHWC), tap by tap of the window:

    out[i,j,c] += weight[u,v,c] * x[i*stride + u*dilation - p, j*stride + v*dilation - p, c]

one multiplication and one addition over the band, with the tap's weights repeated along a row of the output. There is
no matrix product to be had: combining groups to blocks of 32 channels, as `direct` does with narrow groups, multiplies
32 times as many numbers, nearly all by zero.

Gain over those blocks, by Winograd where it applies: blurring 112x112x64 or 56x56x256 to half the size takes half the
time, 3x3 of stride 1 on 14x14x512 two thirds (Zen 4, one thread).

When it is chosen: always where groups, input and output channels are one number.
"""

from __future__ import annotations

from math import prod

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.tiling import Area, Conv, band, epilogue, even_bands, grid, is_plain, window_view
from npresnet.cpu.runtime.memory import Memory
from npresnet.plan.steps import Call, Tile

TILE_FLOATS = 32_768  # 128 KB: the sums and the products of a tap stay in the L2 cache from tap to tap


def areas(conv: Conv) -> list[Area]:
    """The tiles of a layer's output."""
    height, width = conv.size
    floats = height * width * conv.channels
    return grid(conv, height, even_bands(height, floats / TILE_FLOATS), together=max(1, TILE_FLOATS // floats))


def scratch_floats(conv: Conv, area: Area) -> dict[str, int]:
    """Scratch of one tile: the products of a tap, and the sums."""
    floats = prod(_shape(conv, area))
    return {"ping": floats, "pong": floats}


def probe(conv: Conv, area: Area) -> None:
    """Nothing depends on BLAS."""


def tile(conv: Conv, area: Area, memory: Memory, worker: int) -> Tile:
    """The calls of one tile."""
    source = window_view(memory, conv, area)[..., slice(*area.channels)]  # (n, h, OW, KH, KW, c)
    target = band(memory.images(conv.node.name), area)  # (n, h, OW, c)
    shape = _shape(conv, area)
    sums = target if is_plain(target) else memory.scratch(worker, "pong", shape)
    products = memory.scratch(worker, "ping", shape)
    kernel_width = source.shape[4]
    calls: list[Call] = []
    for tap, weights in enumerate(conv.filters.taps()[:, slice(*area.channels)]):
        row = memory.rows_of(weights, conv.size[1])  # (OW, c)
        taken = source[:, :, :, tap // kernel_width, tap % kernel_width]
        if tap == 0:
            calls.append((kernels.multiply, (taken, row, sums)))
        else:
            calls += [(kernels.multiply, (taken, row, products)), (kernels.add, (sums, products, sums))]
    return (*calls, *epilogue(conv, memory, area, sums, target, bias=True))


def _shape(conv: Conv, area: Area) -> tuple[int, ...]:
    (start, stop), (top, bottom), (first, last) = area
    return stop - start, bottom - top, conv.size[1], last - first
