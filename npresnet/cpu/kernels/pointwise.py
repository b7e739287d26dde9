"""Operations that look at one pixel at a time: add, ReLU, a BatchNorm left standing, the option A shortcut."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.runtime.memory import Floats, Memory, split
from npresnet.network import Node
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.plan.steps import Call, Tile

MIN_TILE_FLOATS = 100_000  # smaller tiles lose to the calls' overhead


class Line(NamedTuple):
    """y = scale * x + shift, a line for each channel: two (C,) arrays."""

    scale: Floats
    shift: Floats


def prepare_batch_norm(node: Node) -> Line:
    """A BatchNorm that could not be folded, as one multiplication and one addition."""
    scale, shift = scale_and_shift(node)
    return Line(scale.astype(np.float32), shift.astype(np.float32))


def lower_batch_norm(node: Node, line: Line, memory: Memory) -> list[Tile]:
    tiles = []
    for source, out in _bands(memory, node.inputs[0], node.name):
        width = out.shape[1]
        calls: list[Call] = [
            (kernels.multiply, (source, memory.rows_of(line.scale, width), out)),
            (kernels.add, (out, memory.rows_of(line.shift, width), out)),
        ]
        tiles.append((*calls, *relu(memory, node, out)))
    return tiles


def lower_relu(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    bands = _bands(memory, node.inputs[0], node.name)
    return [((kernels.maximum, (source, memory.zeros(source.shape[1:]), out)),) for source, out in bands]


def lower_add(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    bands = _bands(memory, *node.inputs, node.name)
    return [((kernels.add, (a, b, out)), *relu(memory, node, out)) for a, b, out in bands]


def lower_shortcut_a(node: Node, prepared: Any, memory: Memory) -> list[Tile]:
    """x[::stride, ::stride], channels of zeros before and after: a shortcut without weights (He et al. 2015, 3.3)."""
    stride, (before, after) = node.attrs["stride"], node.attrs["pad_channels"]
    out = memory.images(node.name)  # (N, OH, OW, before + C + after)
    source = memory.images(node.inputs[0])[:, ::stride, ::stride]
    end = out.shape[3] - after
    return [
        (
            (kernels.copy, (0.0, out[..., :before])),
            (kernels.copy, (source, out[..., before:end])),
            (kernels.copy, (0.0, out[..., end:])),
            *relu(memory, node, out),
        )
    ]


def relu(memory: Memory, node: Node, out: Floats) -> list[Call]:
    """The call that clamps out (any shape) at 0, in place, where the node has a ReLU."""
    return [(kernels.maximum, (out, memory.zeros(out.shape[1:]), out))] if node.relu else []


def _bands(memory: Memory, *names: str) -> list[tuple[Floats, ...]]:
    """The same rows of several values of one shape, band by band. A vector (C,) is an image of one pixel."""
    values = [memory.images(name) for name in names]
    values = [value[:, None, None] if value.ndim == 2 else value for value in values]  # (N, H, W, C)
    images, height, _, _ = values[0].shape
    bands = split(height, values[0][0].size // MIN_TILE_FLOATS)
    return [tuple(value[n, start:stop] for value in values) for n in range(images) for start, stop in bands]
