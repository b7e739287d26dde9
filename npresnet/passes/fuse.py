"""Fuse what follows a convolution into it: the residual's addition and the ReLU.

    relu(conv(x) + residual)

is one pass over the output while it is still in the cache, where three nodes would carry it through memory three times.
A convolution's second input is its residual.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from npresnet.network import Network, Node
from npresnet.passes.rewrite import merge_pairs

TAKES_RELU = ("conv2d", "add", "linear", "batch_norm")


def fuse(network: Network) -> Network:
    """The network with its additions and ReLUs inside the nodes before them, wherever nobody else sees the result."""
    return merge_pairs(merge_pairs(network, _into_add), _into_relu)


def _into_add(node: Node, made: Mapping[str, Node], private: Set[str]) -> tuple[Node, Node] | None:
    if node.op != "add" or len(node.inputs) != 2:
        return None
    for name, residual in (node.inputs, node.inputs[::-1]):  # the main path first, then the shortcut
        conv = made.get(name)
        if conv is not None and name in private and conv.op == "conv2d" and len(conv.inputs) == 1 and not conv.relu:
            return conv, conv.evolve(inputs=(*conv.inputs, residual), relu=node.relu)
    return None


def _into_relu(node: Node, made: Mapping[str, Node], private: Set[str]) -> tuple[Node, Node] | None:
    producer = made.get(node.inputs[0])
    if node.op != "relu" or producer is None or producer.name not in private or producer.op not in TAKES_RELU:
        return None
    return producer, producer.evolve(relu=True)
