"""Fuse what follows a convolution into it: the residual's addition and the activation.

    relu(conv(x) + residual)

is one pass over the output while it is still in the cache, where three nodes would carry it through memory three times.
A convolution's second input is its residual. Other operations take an activation in where their records say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from npresnet.network import Network, Node
from npresnet.ops.registry import ACTIVATIONS, operation_of
from npresnet.passes.rewrite import carrying, merge_pairs


def fuse(network: Network) -> Network:
    """The network with its additions and activations inside the nodes before them, where no other node reads those."""
    return merge_pairs(merge_pairs(network, _into_add), _into_activation)


def _into_add(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    if node.op != "add" or len(node.inputs) != 2:
        return None
    for name, residual in (node.inputs, node.inputs[::-1]):  # the main path first, then the shortcut
        conv = made.get(name)
        if conv is None or name not in single_use or conv.op != "conv2d":
            continue
        if len(conv.inputs) == 1 and conv.activation is None:
            return conv, carrying(conv.evolve(inputs=(*conv.inputs, residual)), node.activation, node)
    return None


def _into_activation(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    producer = made.get(node.inputs[0])
    if node.op not in ACTIVATIONS or node.activation is not None or producer is None:
        return None
    if producer.name not in single_use or producer.activation is not None or not operation_of(producer).fuses:
        return None
    return producer, carrying(producer, node.op, node)
