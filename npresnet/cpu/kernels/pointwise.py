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
