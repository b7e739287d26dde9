"""Activations, as steps or at the end of another operation's tile: in place, while the numbers are in the cache.

`activation_functions` has their arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activation_functions import FUNCTIONS, in_blocks
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory, bands_of
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile

NAMES = ("relu", *FUNCTIONS)


def activate(node: Node, memory: Memory, source: Floats, out: Floats) -> list[Call]:
    """The call that computes out = activation(source), (n, h, w, C) or any shape, in place where both are one array.

    Without an activation: no call where both are one array, else a copy.
    """
    if node.activation is None:
        return [] if out is source else [(kernels.copy, (source, out))]
    return [activation_call(node.activation, node.attrs, memory, source, out)]


def activation_call(name: str, attrs: Mapping[str, Any], memory: Memory, source: Floats, out: Floats) -> Call:
    """The call of the activation of that name."""
    if name == "relu":  # whole rows of zeros: a scalar runs at a quarter of the speed
        return kernels.maximum, (source, memory.zeros(source.shape[-2:]), out)
    return in_blocks, (FUNCTIONS[name], source, attrs, out)


class ActivationLowering(Lowering):
    """An activation as a separate node, in bands of rows."""

    def __init__(self, name: str):
        self.name = name

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        node = bound.node
        return [
            (
                activation_call(self.name, node.attrs, memory, source, out),
                *activate(node, memory, out, out),
            )
            for source, out in bands_of(memory, node.inputs[0], node.name)
        ]
