"""Move a constant factor behind a gate into the gate.

    s * (x * g) = x * (s * g)

The gate g has one number for each channel of an image, the map x has H*W, so the factor then costs nothing. It is a
BatchNorm without shift, as networks without normalisation have it (`arch.families.nfnet`).
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.network import Network, Node
from npresnet.ops.registry import ACTIVATIONS
from npresnet.passes.fold_batch_norm import scale_and_shift
from npresnet.passes.rewrite import single_use_values

POINTWISE = ("conv2d", "linear", "flatten", "channel_conv1d", "batch_norm", *ACTIVATIONS)  # keep (C, 1, 1) or (C,)


def fold_gate_scale(network: Network) -> Network:
    """The network with factors of gated maps applied to the gates, where those are made from a pooled map.

    The product takes the factor's name; the scaled gate is called <name>.gate.
    """
    single_use = single_use_values(network)
    nodes: dict[str, Node] = {}
    for node in network:
        product = nodes.get(node.inputs[0])
        if product is None or product.name not in single_use or not _is_scaled_gate(node, product, nodes):
            nodes[node.name] = node
            continue
        del nodes[product.name]
        x, gate = product.inputs
        scaled = node.evolve(name=f"{node.name}.gate", inputs=(gate,), activation=None)
        nodes[scaled.name] = scaled
        nodes[node.name] = product.evolve(name=node.name, inputs=(x, scaled.name))
    return Network(tuple(nodes.values()), network.outputs)


def _is_scaled_gate(norm: Node, product: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether these are a BatchNorm without shift, and the product of a map and a number for each of its channels."""
    if norm.op != "batch_norm" or norm.activation is not None or product.op != "multiply" or len(product.inputs) != 2:
        return False
    if product.activation is not None or not _is_pooled(product.inputs[1], nodes):
        return False
    _, shift = scale_and_shift(norm)
    return not shift.any()


def _is_pooled(name: str, nodes: Mapping[str, Node]) -> bool:
    """Whether a value has one number a channel, because all that makes it from a pooled one keeps that."""
    node = nodes.get(name)
    while node is not None and node.op in POINTWISE and len(node.inputs) == 1:
        node = nodes.get(node.inputs[0])
    return node is not None and node.op == "global_avg_pool"
