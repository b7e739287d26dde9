"""Fuse the addition of a residual and the activation into the convolution before them.

    relu(conv(x) + residual)

is then one pass over the output while it is in the cache, instead of three passes over memory. A convolution's second
input is its residual, as is a GroupNorm's: relu(norm(x) + residual); and the third of a product with a gate:
relu(x * gate + residual), the end of a block with squeeze and excitation. A sum over the radix that only a global
average pool reads is left to the pool. Activations are fused into other operations if their records allow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from npresnet.network import Network, Node
from npresnet.ops.registry import ACTIVATIONS, operation_of
from npresnet.passes.rewrite import carrying, merge_pairs

OWN_INPUTS = {
    "conv2d": 1,
    "group_norm": 1,
    "conv3d": 1,
    "multiply": 2,
    "broadcast_add": 2,
}  # without the residual, which comes last


def fuse(network: Network) -> Network:
    """The network with additions and activations merged into the nodes before them if these are single-use values."""
    for merge in (_into_add, _into_pool, _into_activation):
        network = merge_pairs(network, merge)
    return network


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


def _into_pool(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    """mean(x[:C] + x[C:]) without the map of sums; the node has the sum's name and the pool's operation."""
    total = made.get(node.inputs[0])
    if node.op != "global_avg_pool" or "radix" in node.attrs or total is None or total.op != "radix_sum":
        return None
    if total.name not in single_use or total.activation is not None:
        return None
    pool = total.evolve(op=node.op, attrs={**node.attrs, "radix": total.attrs["radix"]})
    return total, carrying(pool, node.activation, node)


def _into_activation(node: Node, made: Mapping[str, Node], single_use: Set[str]) -> tuple[Node, Node] | None:
    producer = made.get(node.inputs[0])
    if node.op not in ACTIVATIONS or node.activation is not None or producer is None:
        return None
    if producer.name not in single_use or producer.activation is not None or not operation_of(producer).fuses:
        return None
    return producer, carrying(producer, node.op, node)
