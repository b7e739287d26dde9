"""Fuse the addition of a residual and the activation into the convolution before them.

    relu(conv(x) + residual)

is then one pass over the output while it is in the cache, instead of three passes over memory. A convolution's second
input is its residual, as is the third of a product with a gate: relu(x * gate + residual), the end of a block with
squeeze and excitation. Activations are fused into other operations if their records allow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from npresnet.network import Network, Node
from npresnet.ops.registry import ACTIVATIONS, operation_of
from npresnet.passes.rewrite import carrying, merge_pairs

OWN_INPUTS = {"conv2d": 1, "multiply": 2, "broadcast_add": 2}  # without the residual, which comes last


def fuse(network: Network) -> Network:
    """The network with additions and activations merged into the nodes before them if these are single-use values."""
    return merge_pairs(merge_pairs(network, _into_add), _into_activation)


def _into_add(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    if node.op != "add" or len(node.inputs) != 2:
        return None
    for name, residual in (node.inputs, node.inputs[::-1]):  # the main path first, then the shortcut
        main = made.get(name)
        if main is None or name not in single_use or main.activation is not None:
            continue
        if len(main.inputs) == OWN_INPUTS.get(main.op):
            return main, carrying(main.evolve(inputs=(*main.inputs, residual)), node.activation, node)
    return None


def _into_activation(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    producer = made.get(node.inputs[0])
    if node.op not in ACTIVATIONS or node.activation is not None or producer is None:
        return None
    if producer.name not in single_use or producer.activation is not None or not operation_of(producer).fuses:
        return None
    return producer, carrying(producer, node.op, node)
