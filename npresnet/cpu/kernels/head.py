"""The end of a classifier: flatten, fully connected layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, aligned_floats, split
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile

TILE_FLOATS = 131_072  # weights of a fully connected layer in a tile, which stay in the cache between images
PART_INPUTS, PARTS = 64, 16  # the fewest inputs of a part, the most parts


class Matrix(NamedTuple):
    """weight (O, C), the file's layout; bias (O,) or None."""

    weight: Floats
    bias: Floats | None


class LinearLowering(Lowering):
    """out[o] = sum over c of weight[o,c] * x[c] + bias[o]: matrix-vector products, image by image.

    The inputs are split into parts, whose products are then added: pooled features are all positive, and where few
    outputs give BLAS few parallel sums, one long sum per output has two to three times the error of other engines.
    """

    def prepare(self, node: Node) -> Matrix:
        bias = node.params.get("bias")
        weight = np.ascontiguousarray(node.params["weight"], np.float32)
        return Matrix(weight, None if bias is None else np.asarray(bias, np.float32))

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node, matrix = bound.node, bound.weights
        sources, outs = memory.storage(node.inputs[0]), memory.storage(node.name)  # (N, C), (N, O)
        images = [_Image(node, matrix, source, out) for source, out in zip(sources, outs, strict=True)]
        bands = split(outs.shape[1], matrix.weight.size // TILE_FLOATS)
        return [image.tile(memory, start, stop) for start, stop in bands for image in images]


class _Image:
    """The classifier of one image, with its features and sums in parts."""

    def __init__(self, node: Node, matrix: Matrix, source: Floats, out: Floats):
        parts = next((n for n in range(PARTS, 1, -1) if source.size % n == 0 and source.size // n >= PART_INPUTS), 1)
        self.node, self.bias, self.out = node, matrix.bias, out
        self.weights = matrix.weight.reshape(out.size, parts, -1).transpose(1, 0, 2)  # (parts, O, C/parts)
        self.inputs = source.reshape(parts, -1, 1)  # (parts, C/parts, 1)
        self.sums = aligned_floats(parts * out.size).reshape(parts, out.size, 1)

    def tile(self, memory: Memory, start: int, stop: int) -> Tile:
        """The calls that compute outputs start..stop-1."""
        part = self.out[start:stop]
        calls: list[Call] = [
            (kernels.matmul, (self.weights[:, start:stop], self.inputs, self.sums[:, start:stop])),
            (kernels.sum_parts, (self.sums[:, start:stop, 0], part)),
        ]
        if self.bias is not None:
            calls.append((kernels.add, (part, self.bias[start:stop], part)))
        return (*calls, *activate(self.node, memory, part, part))


class FlattenLowering(Lowering):
    """(H, W, C) -> (C*H*W,) in the framework's order, channels first; (H, W, T*C) -> (C*T*H*W,)."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        source, out = memory.images(node.inputs[0]), memory.storage(node.name)
        if len(memory.value(node.inputs[0]).shape) == 4:
            source = memory.clips(node.inputs[0]).transpose(0, 4, 3, 1, 2)
        elif source.ndim == 4:
            source = source.transpose(0, 3, 1, 2)
        return [((kernels.copy, (source, out.reshape(source.shape))), *activate(node, memory, out, out))]
