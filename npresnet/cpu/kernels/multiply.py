"""A map times a map, or times one number a channel."""

from __future__ import annotations

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Memory, bands_of
from npresnet.plan.steps import Tile


class MultiplyLowering(Lowering):
    """out = x * gate, bands of rows; a gate's numbers lie side by side, as a pixel's channels do."""

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node, (x, gate) = bound.node, bound.node.inputs
        if memory.value(x).shape == memory.value(gate).shape:
            triples = bands_of(memory, x, gate, node.name)
        else:
            gates = memory.images(gate).reshape(memory.layout.images, -1)  # (N, C)
            bands = bands_of(memory, x, node.name)
            per_image = len(bands) // len(gates)
            triples = [(source, gates[i // per_image], out) for i, (source, out) in enumerate(bands)]
        return [
            ((kernels.multiply, (source, factor, out)), *activate(node, memory, out, out))
            for source, factor, out in triples
        ]
