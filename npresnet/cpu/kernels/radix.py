"""Split attention: the sum of a map's radix groups, the softmax over them, and their weighted sum."""

from __future__ import annotations

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate, activation_call
from npresnet.cpu.kernels.channels import rows_of_images
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory
from npresnet.cpu.runtime.running import worker_of
from npresnet.plan.steps import Call, Tile

TILE_FLOATS = 65_536  # of the input: it, the products and the result stay in a core's L2 cache


class RadixSumLowering(Lowering):
    """out[c] = sum over r of x[r*C + c]."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        return [
            (*_sum(x, out), *activate(node, memory, out, out))
            for x, out in rows_of_images(memory, TILE_FLOATS, node.inputs[0], node.name)
        ]


class RadixWeightedSumLowering(Lowering):
    """out[c] = sum over r of w[r*C + c] * x[r*C + c], in bands of rows: all products, then their sum."""

    def scratch(self, bound: Bound) -> dict[str, int]:
        channels, height, width = bound.layout.values[bound.node.inputs[0]].shape
        rows = min(height, 2 * TILE_FLOATS // (channels * width) + 1)
        return {"weights": width * channels, "products": rows * width * channels}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        weights = memory.numbers(node.inputs[1])  # (N, R*C)
        bands = list(rows_of_images(memory, TILE_FLOATS, node.inputs[0], node.name))
        per_image = len(bands) // len(weights)
        tiles: list[Tile] = []
        for i, (x, out) in enumerate(bands):
            worker = worker_of(i, len(bands), bound.workers)
            row = memory.scratch(worker, "weights", x.shape[1:])  # repeated along a row, for long inner loops
            products = memory.scratch(worker, "products", x.shape)
            calls: list[Call] = [
                (kernels.copy, (weights[i // per_image], row)),
                (kernels.multiply, (x, row, products)),
                *_sum(products, out),
            ]
            tiles.append((*calls, *activate(node, memory, out, out)))
        return tiles


class RadixSoftmaxLowering(Lowering):
    """A softmax over r of x[g, r, d], written as out[r, g, d]; for radix 1 a sigmoid."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        radix, cardinality = node.attrs["radix"], node.attrs.get("cardinality", 1)
        sources, outs = (memory.numbers(name) for name in (node.inputs[0], node.name))  # (N, R*C)
        tiles: list[Tile] = []
        for source, out in zip(sources, outs, strict=True):
            logits = source.reshape(cardinality, radix, -1).swapaxes(0, 1)  # (R, G, D)
            call: Call = (kernels.softmax_first, (logits, out.reshape(logits.shape)))
            if radix == 1:
                call = activation_call("sigmoid", {}, memory, source, out)
            tiles.append((call, *activate(node, memory, out, out)))
        return tiles


def _sum(x: Floats, out: Floats) -> list[Call]:
    """out (h, W, C) = the sum of the groups of x (h, W, R*C), in their order."""
    channels = out.shape[2]
    first, *others = (x[..., start : start + channels] for start in range(0, x.shape[2], channels))
    if not others:
        return [(kernels.copy, (first, out))]
    return [
        (kernels.add, (first, others[0], out)),
        *((kernels.add, (out, other, out)) for other in others[1:]),
    ]
