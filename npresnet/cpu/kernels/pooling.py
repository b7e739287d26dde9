"""Max and average pooling: for each tap (u, v) of the window, one NumPy call over all outputs where it is valid.

    out[i,j] = max (or sum) over taps of x[i*stride + u*dilation - p, j*stride + v*dilation - p]

Taps in the padding are skipped, which equals padding with minus infinity for the maximum, with zeros for the average.
No padded copy is made: `Window.valid_outputs` gives the outputs of a tap.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile
from npresnet.window import Window

MIN_TILE_FLOATS = 50_000


class MaxPool2dLowering(Lowering):
    """The maximum of each window."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        return [
            (
                (kernels.copy, (-np.inf, out)),
                *((kernels.maximum, (part, taken, part)) for part, taken in pairs),
                *activate(bound.node, memory, out, out),
            )
            for out, pairs in _bands(bound.node, memory)
        ]


class AvgPool2dLowering(Lowering):
    """The mean of each window: the whole sum first, then one division by the number of positions."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        counts = pool_counts(node, memory.value(node.inputs[0]).shape[1:], memory.value(node.name).shape[1:])
        tiles: list[Tile] = []
        row = 0
        for out, pairs in _bands(node, memory):
            sums: list[Call] = [(kernels.add, (part, taken, part)) for part, taken in pairs]
            count = counts[row : row + out.shape[0], :, None]  # (h, OW, 1)
            mean: Call = (kernels.divide, (out, count, out))
            tiles.append(((kernels.copy, (0.0, out)), *sums, mean, *activate(node, memory, out, out)))
            row = (row + out.shape[0]) % len(counts)  # 0 for the next image
        return tiles


def pool_counts(node: Node, size: tuple[int, ...], out_size: tuple[int, ...]) -> Floats:
    """(OH, OW): the divisor of each window's sum.

    With count_include_pad the padding counts, but not positions beyond it, which windows reach with ceil_mode.
    """
    assert node.window is not None
    include_pad = node.attrs.get("count_include_pad", True)
    along = []
    for axis in (0, 1):
        margin = node.window.padding[axis] if include_pad else 0
        starts = [node.window.input_range(axis, i, i + 1)[0] for i in range(out_size[axis])]
        taps = [range(s, s + node.window.kernel_size[axis]) for s in starts]
        along.append([sum(-margin <= position < size[axis] + margin for position in tap) for tap in taps])
    rows, columns = along
    return np.multiply.outer(np.array(rows, np.float32), np.array(columns, np.float32))


def _bands(node: Node, memory: Memory) -> Iterator[tuple[Floats, list[tuple[Floats, Floats]]]]:
    """Each image's bands of output rows: the band, and for each tap (its valid outputs, the inputs it reads there)."""
    assert node.window is not None
    sources, outs = memory.images(node.inputs[0]), memory.images(node.name)  # (N, H, W, C), (N, OH, OW, C)
    for source, out in zip(sources, outs, strict=True):
        for start, stop in split(out.shape[0], out.size // MIN_TILE_FLOATS):
            yield out[start:stop], list(_taps(node.window, source, out, start, stop))


def _taps(window: Window, source: Floats, out: Floats, start: int, stop: int) -> Iterator[tuple[Floats, Floats]]:
    for u, v in product(*map(range, window.kernel_size)):
        top, bottom = window.valid_outputs(0, u, source.shape[0], out.shape[0])
        left, right = window.valid_outputs(1, v, source.shape[1], out.shape[1])
        top, bottom = max(top, start), min(bottom, stop)
        if top < bottom and left < right:
            rows, columns = window.tap_positions(0, u, top, bottom), window.tap_positions(1, v, left, right)
            yield out[top:bottom, left:right], source[rows, columns]
