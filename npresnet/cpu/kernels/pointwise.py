"""Operations on one pixel at a time: add, a BatchNorm that was not folded, the option A shortcut."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, bands_of
from npresnet.network import Node
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.plan.steps import Call, Tile


class Line(NamedTuple):
    """y = scale * x + shift for each channel: two (C,) arrays."""

    scale: Floats
    shift: Floats


class BatchNormLowering(Lowering):
    """A BatchNorm that could not be folded, as one multiplication and one addition."""

    def prepare(self, node: Node) -> Line:
        scale, shift = scale_and_shift(node)
        return Line(scale.astype(np.float32), shift.astype(np.float32))

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node, line = bound.node, bound.weights
        tiles = []
        shape = memory.value(node.name).shape
        frames = shape[1] if len(shape) == 4 else 1
        for source, out in bands_of(memory, node.inputs[0], node.name):
            width = out.shape[1]
            scale, shift = (memory.rows_of(n, width * frames).reshape(width, -1) for n in line)
            calls: list[Call] = [(kernels.multiply, (source, scale, out)), (kernels.add, (out, shift, out))]
            tiles.append((*calls, *activate(node, memory, out, out)))
        return tiles


class Slopes(NamedTuple):
    """The slopes of a PReLU, (C,) or (1,), and whether all are in 0 < slope <= 1, as trained ones are."""

    slopes: Floats
    are_usual: bool


class PReLULowering(Lowering):
    """max(x, slope * x) where 0 < slope <= 1, else max(x, 0) + slope * min(x, 0), of which one term is 0."""

    def prepare(self, node: Node) -> Slopes:
        slopes = np.asarray(node.params["weight"], np.float32)
        return Slopes(slopes, bool(((slopes > 0) & (slopes <= 1)).all()))

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node, (slopes, are_usual) = bound.node, bound.weights
        channels = memory.value(node.name).shape[0]
        slopes = slopes if len(slopes) == channels else memory.rows_of(slopes, channels)[:, 0]
        tiles: list[Tile] = []
        for source, out in bands_of(memory, node.inputs[0], node.name):
            row = memory.rows_of(slopes, out.shape[1])
            calls: list[Call] = (
                [(scaled_maximum, (source, row, out))] if are_usual else [(two_slopes, (source, row, out))]
            )
            tiles.append((*calls, *activate(node, memory, out, out)))
        return tiles


def scaled_maximum(x: Floats, slopes: Floats, out: Floats) -> None:
    """out = max(x, slopes * x), (h, W, C) each and (W, C); in blocks, because the product needs memory of its own."""
    for row, target in zip(x, out, strict=True):
        np.maximum(row, row * slopes, out=target)


def two_slopes(x: Floats, slopes: Floats, out: Floats) -> None:
    """out = max(x, 0) + slopes * min(x, 0); see `scaled_maximum`."""
    for row, target in zip(x, out, strict=True):
        negative = np.clip(row, -np.float32(np.inf), np.float32(0))
        np.multiply(negative, slopes, out=negative)
        np.clip(row, np.float32(0), np.float32(np.inf), out=target)
        np.add(target, negative, out=target)


class AddLowering(Lowering):
    """The sum of two values."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        bands = bands_of(memory, *node.inputs, node.name)
        return [((kernels.add, (a, b, out)), *activate(node, memory, out, out)) for a, b, out in bands]


class ShortcutALowering(Lowering):
    """x[::stride, ::stride], of clips also every stride-th frame, with zero channels before and after.

    A shortcut without weights (He et al. 2015, 3.3).
    """

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        stride, (before, after) = node.attrs["stride"], node.attrs["pad_channels"]
        is_clip = len(memory.value(node.name).shape) == 4
        values = memory.clips if is_clip else memory.images
        out, source = values(node.name), values(node.inputs[0])  # (N, H, W, C), or (N, H, W, T, C)
        source = source[(slice(None),) + (slice(None, None, stride),) * (source.ndim - 2)]
        end = out.shape[-1] - after
        return [
            (
                (kernels.copy, (0.0, out[..., :before])),
                (kernels.copy, (source, out[..., before:end])),
                (kernels.copy, (0.0, out[..., end:])),
                *activate(node, memory, out, out),
            )
        ]
