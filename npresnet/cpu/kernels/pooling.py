"""Max and average pooling: for each tap (u, v) of the window, one NumPy call over all outputs where it is valid.

    out[i,j] = max (or sum) over taps of x[i*stride + u*dilation - p, j*stride + v*dilation - p]

Taps in the padding are skipped, which equals padding with minus infinity for the maximum, with zeros for the average.
No padded copy is made: `Window.valid_outputs` gives the outputs of a tap. Windows over clips have a third axis, time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from typing import TypeVar

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile
from npresnet.window import Window

MIN_TILE_FLOATS = 50_000


class MaxPoolLowering(Lowering):
    """The maximum of each window."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        return [
            (*_reduced(kernels.maximum, -np.inf, out, pairs), *activate(bound.node, memory, out, out))
            for out, pairs in _bands(bound.node, memory)
        ]


class AvgPoolLowering(Lowering):
    """The mean of each window: the whole sum first, then one division by the number of positions."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        counts = pool_counts(node, memory.value(node.inputs[0]).shape[1:], memory.value(node.name).shape[1:])
        tiles: list[Tile] = []
        row = 0
        for out, pairs in _bands(node, memory):
            count = counts[row : row + out.shape[0], ..., None]  # (h, OW, 1), or (h, OW, OT, 1)
            mean: Call = (kernels.divide, (out, count, out))
            tiles.append((*_reduced(kernels.add, 0.0, out, pairs), mean, *activate(node, memory, out, out)))
            row = (row + out.shape[0]) % len(counts)  # 0 for the next image
        return tiles


def _reduced(
    combine: Callable[..., None], identity: float, out: Floats, pairs: list[tuple[Floats, Floats]]
) -> list[Call]:
    """out = all taps combined. Two taps that are valid for the whole band need neither the identity nor a copy."""
    whole = [taken for part, taken in pairs if part.shape == out.shape]
    others = [pair for pair in pairs if pair[0].shape != out.shape]
    if len(whole) > 1:
        first: Call = (combine, (whole[0], whole[1], out))
    else:
        first = (kernels.copy, (whole[0] if whole else identity, out))
    later = [(out, taken) for taken in whole[2:]]
    return [first, *((combine, (part, taken, part)) for part, taken in (*later, *others))]


def pool_counts(node: Node, size: tuple[int, ...], out_size: tuple[int, ...]) -> Floats:
    """(OH, OW), or (OH, OW, OT) of clips: the divisor of each window's sum.

    size, out_size  (H, W) and (OH, OW), or (T, H, W) and (OT, OH, OW)

    With count_include_pad the padding counts, but not positions beyond it, which windows reach with ceil_mode.
    """
    assert node.window is not None
    include_pad = node.attrs.get("count_include_pad", True)
    along = []
    for axis in range(len(size)):
        margin = node.window.padding[axis] if include_pad else 0
        starts = [node.window.input_range(axis, i, i + 1)[0] for i in range(out_size[axis])]
        taps = [range(s, s + node.window.kernel_size[axis]) for s in starts]
        along.append([sum(-margin <= position < size[axis] + margin for position in tap) for tap in taps])
    counts = [np.array(counted, np.float32) for counted in _frames_last(along)]
    found: Floats = reduce(np.multiply.outer, counts)
    return found


Part = TypeVar("Part")


def _frames_last(axes: Sequence[Part]) -> list[Part]:
    """Of height and width, or of time, height and width: as they lie in memory, height, width, time."""
    return [*axes[-2:], *axes[:-2]]


def _bands(node: Node, memory: Memory) -> Iterator[tuple[Floats, list[tuple[Floats, Floats]]]]:
    """Each image's bands of output rows: the band, and for each tap (its valid outputs, the inputs it reads there)."""
    assert node.window is not None
    is_clip = len(node.window.kernel_size) == 3
    values = memory.clips if is_clip else memory.images
    sources, outs = values(node.inputs[0]), values(node.name)  # (N, H, W, C), (N, OH, OW, C); clips (N, H, W, T, C)
    for source, out in zip(sources, outs, strict=True):
        for start, stop in split(out.shape[0], out.size // MIN_TILE_FLOATS):
            yield out[start:stop], list(_taps(node.window, source, out, start, stop))


def _taps(window: Window, source: Floats, out: Floats, start: int, stop: int) -> Iterator[tuple[Floats, Floats]]:
    axes = _frames_last(range(len(window.kernel_size)))  # of the window, in the order of source and out
    for taps in product(*map(range, window.kernel_size)):
        ranges = [
            window.valid_outputs(axis, taps[axis], size, out_size)
            for axis, size, out_size in zip(axes, source.shape, out.shape, strict=False)
        ]
        ranges[0] = max(ranges[0][0], start), min(ranges[0][1], stop)
        if all(first < last for first, last in ranges):
            read = tuple(window.tap_positions(axis, taps[axis], *ends) for axis, ends in zip(axes, ranges, strict=True))
            yield out[tuple(slice(*ends) for ends in ranges)], source[read]
