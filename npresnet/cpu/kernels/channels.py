"""Operations along the channels: slice, concatenation, mean, maximum, and the convolution of channel attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import MIN_TILE_FLOATS, Floats, Memory, split
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.ops.channel_conv1d import padding_mode_of
from npresnet.plan.steps import Call, Tile


def rows_of_images(memory: Memory, floats: int, *names: str) -> Iterator[tuple[Floats, ...]]:
    """The same rows (h, W, C) of values of one size, band by band; their channels may differ.

    floats  of the widest value in a band
    """
    values = [memory.images(name) for name in names]
    values = [value[:, None, None] if value.ndim == 2 else value for value in values]  # (N, H, W, C)
    images, height = values[0].shape[:2]
    bands = split(height, max(value[0].size for value in values) // floats)
    for n in range(images):
        for start, stop in bands:
            yield tuple(value[n, start:stop] for value in values)


class SliceChannelsLowering(Lowering):
    """A copy of some channels."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        channels = slice(node.attrs["start"], node.attrs["stop"])
        return [
            ((kernels.copy, (x[..., channels], out)), *activate(node, memory, out, out))
            for x, out in rows_of_images(memory, MIN_TILE_FLOATS, node.inputs[0], node.name)
        ]


class ConcatLowering(Lowering):
    """A copy of every input to its channels of the result."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        ends = np.cumsum([memory.value(name).shape[0] for name in node.inputs]).tolist()
        tiles: list[Tile] = []
        for *sources, out in rows_of_images(memory, MIN_TILE_FLOATS, *node.inputs, node.name):
            parts = [out[..., end - x.shape[2] : end] for x, end in zip(sources, ends, strict=True)]
            copies: list[Call] = [(kernels.copy, pair) for pair in zip(sources, parts, strict=True)]
            tiles.append((*copies, *activate(node, memory, out, out)))
        return tiles


class ChannelMeanLowering(Lowering):
    """out[h,w] = (sum over c of x[h,w,c]) / C."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        channels = np.float32(memory.value(node.inputs[0]).shape[0])
        return _reduced(node, memory, kernels.sum_channels, lambda out: [(kernels.divide, (out, channels, out))])


class ChannelMaxLowering(Lowering):
    """out[h,w] = max over c of x[h,w,c]."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        return _reduced(bound.node, memory, kernels.max_channels, lambda out: [])


def _reduced(
    node: Node, memory: Memory, reduce: Callable[..., None], then: Callable[[Floats], list[Call]]
) -> list[Tile]:
    return [
        ((reduce, (x, out[..., 0])), *then(out), *activate(node, memory, out, out))
        for x, out in rows_of_images(memory, MIN_TILE_FLOATS, node.inputs[0], node.name)
    ]


class Taps(NamedTuple):
    """weight (k, 1), bias (1,) or None, is_circular: what is beside the first and the last channel."""

    weight: Floats
    bias: Floats | None
    is_circular: bool


class ChannelConv1dLowering(Lowering):
    """out[c] = sum over j of weight[j] * x[c + j - k//2]: all products at once, then their sum."""

    def prepare(self, node: Node) -> Taps:
        bias = node.params.get("bias")
        weight = np.array(node.params["weight"], np.float32).reshape(-1, 1)
        return Taps(weight, None if bias is None else np.array(bias, np.float32), padding_mode_of(node) == "circular")

    def scratch(self, bound: Bound) -> dict[str, int]:
        channels, taps = bound.layout.values[bound.node.name].shape[0], len(bound.weights.weight)
        return {"row": channels + taps - 1, "products": taps * channels}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        sources, outs = (memory.numbers(name) for name in (bound.node.inputs[0], bound.node.name))  # (N, C)
        return [
            self._tile(bound, memory, worker_of(i, len(outs), bound.workers), source, out)
            for i, (source, out) in enumerate(zip(sources, outs, strict=True))
        ]

    def _tile(self, bound: Bound, memory: Memory, worker: int, source: Floats, out: Floats) -> Tile:
        taps, channels, half = bound.weights, out.size, len(bound.weights.weight) // 2
        row = memory.scratch(worker, "row", (channels + 2 * half,))
        products = memory.scratch(worker, "products", (2 * half + 1, channels))
        before: Any = source[channels - half :] if taps.is_circular else 0.0
        after: Any = source[:half] if taps.is_circular else 0.0
        calls: list[Call] = [
            (kernels.copy, (before, row[:half])),
            (kernels.copy, (source, row[half : half + channels])),
            (kernels.copy, (after, row[half + channels :])),
            (kernels.multiply, (np.lib.stride_tricks.sliding_window_view(row, channels), taps.weight, products)),
            (kernels.sum_parts, (products, out)),
        ]
        if taps.bias is not None:
            calls.append((kernels.add, (out, taps.bias, out)))
        return (*calls, *activate(bound.node, memory, out, out))
