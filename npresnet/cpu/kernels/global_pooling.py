"""Global pools: all positions of an image to one number per channel."""

from __future__ import annotations

from math import ceil, prod
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.cpu.runtime.running import worker_of
from npresnet.plan.steps import Call, Tile

PART_FLOATS = 200_000  # of a tile; the channels of a smaller image are not divided
MOST_ADDED = 16  # terms one after another
PART_CHANNELS = 128  # the fewest of a tile: shorter runs of memory are slow to read


class Part(NamedTuple):
    """Some channels of an image, (H, W, c) in each of its radix groups, and where their results go, (c,).

    Of a clip the groups are (H, W, T, c).
    """

    groups: tuple[Floats, ...]
    out: Floats
    worker: int


class GlobalAvgPoolLowering(Lowering):
    """out[c] = (sum over all pixels of x[.,.,c]) / (H*W): the exact sum first, then one division.

    First the rows are added up, then the columns, each in groups of at most 16 and then the groups: an average of 56x56
    pixels added one after another has 8 to 15 times the error of PyTorch's, with groups the same.
    """

    def scratch(self, bound: Bound) -> dict[str, int]:
        channels, *frames, height, width = bound.layout.values[bound.node.inputs[0]].shape
        columns = prod(frames) * width
        groups = max(len(_groups(height)) * columns, len(_groups(columns))) * channels
        return {"row": columns * channels, "groups": groups, "radix": channels}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        return [self._tile(bound, memory, part) for part in _parts(bound, memory)]

    def _tile(self, bound: Bound, memory: Memory, part: Part) -> Tile:
        height, *columns, channels = part.groups[0].shape  # of clips columns are (W, T)
        row = memory.scratch(part.worker, "row", (prod(columns), channels))
        like = row.reshape(part.groups[0].shape[1:])
        sums = memory.scratch(part.worker, "radix", (len(part.groups), channels))
        targets = [part.out] if len(part.groups) == 1 else list(sums)
        calls: list[Call] = []
        for image, total in zip(part.groups, targets, strict=True):
            calls += [*_sum(image, memory, part.worker, like), *_sum(row, memory, part.worker, total)]
        if len(part.groups) > 1:
            calls.append((kernels.sum_parts, (sums, part.out)))
        calls.append((kernels.divide, (part.out, np.float32(height * prod(columns)), part.out)))
        return (*calls, *activate(bound.node, memory, part.out, part.out))


def _groups(count: int) -> list[tuple[int, int]]:
    return split(count, ceil(count / MOST_ADDED))


def _sum(terms: Floats, memory: Memory, worker: int, out: Floats) -> list[Call]:
    """out = the sum of terms (n, ...) over the first axis."""
    groups = _groups(len(terms))
    if len(groups) == 1:
        return [(kernels.sum_parts, (terms, out))]
    sums = memory.scratch(worker, "groups", (len(groups), *out.shape))
    apart: list[Call] = [
        (kernels.sum_parts, (terms[first:last], part)) for (first, last), part in zip(groups, sums, strict=True)
    ]
    return [*apart, (kernels.sum_parts, (sums, out))]


class GlobalMaxPoolLowering(Lowering):
    """out[c] = max over all pixels of x[.,.,c]."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        return [
            ((kernels.max_pixels, (image, out)), *activate(bound.node, memory, out, out))
            for (image,), out, _ in _parts(bound, memory)
        ]


class SpatialAttentionPoolLowering(Lowering):
    """out[c] = sum over all pixels of a[.,.] * x[.,.,c], a the softmax of the second input.

    Row by row a product of a vector and a matrix, then the sum of the rows.
    """

    def scratch(self, bound: Bound) -> dict[str, int]:
        channels, height, width = bound.layout.values[bound.node.inputs[0]].shape
        return {"attention": height * width, "rows": height * channels}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        images, logits = (memory.images(name) for name in bound.node.inputs)  # (N, H, W, C), (N, H, W, 1)
        outs = memory.numbers(bound.node.name)  # (N, C)
        count = len(images)
        workers = [worker_of(i, count, bound.workers) for i in range(count)]
        return [
            self._tile(bound, memory, logit[..., 0], Part((image,), out, worker))
            for image, logit, out, worker in zip(images, logits, outs, workers, strict=True)
        ]

    def _tile(self, bound: Bound, memory: Memory, logits: Floats, part: Part) -> Tile:
        (image,) = part.groups
        height, width, channels = image.shape
        attention = memory.scratch(part.worker, "attention", (height, width))
        rows = memory.scratch(part.worker, "rows", (height, 1, channels))
        calls: list[Call] = [
            (kernels.softmax, (logits, attention)),
            (kernels.matmul, (attention[:, None], image, rows)),  # (H, 1, W) @ (H, W, C) -> (H, 1, C)
            (kernels.sum_parts, (rows[:, 0], part.out)),
        ]
        return (*calls, *activate(bound.node, memory, part.out, part.out))


def _parts(bound: Bound, memory: Memory) -> list[Part]:
    """Every image; large ones in parts of their channels, as the shape alone decides, so that workers share them."""
    name, outs = bound.node.inputs[0], memory.numbers(bound.node.name)  # (N, C)
    is_clip = len(memory.value(name).shape) == 4
    source = memory.clips(name) if is_clip else memory.images(name)  # (N, H, W, C), or (N, H, W, T, C)
    images, channels = outs.shape
    firsts = range(0, source.shape[-1], channels)  # of the radix groups
    most = min(channels // PART_CHANNELS, source[0].size // PART_FLOATS)
    cuts = [(n, *cut) for n in range(images) for cut in split(channels, most)]
    return [
        Part(
            tuple(source[n, ..., first + start : first + stop] for first in firsts),
            outs[n, start:stop],
            worker_of(i, len(cuts), bound.workers),
        )
        for i, (n, start, stop) in enumerate(cuts)
    ]
