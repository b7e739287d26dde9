"""The network as the GPU runs it: without nodes that move nothing, and with a kernel for each that is left.

flatten            in NHWC a vector's numbers lie as they lay before: its readers read what it read. Where the image
                   has more than one pixel, the order is another than PyTorch's (H, W, C, not C, H, W), and the
                   readers' parameters are put into that order.
conv2d_max_pool2d  what another backend has fused becomes two nodes again
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from npresnet.network import Network, Node


class Reduced(NamedTuple):
    """network: its outputs name the nodes that hold the numbers; asked: node that was asked for -> node that has it."""

    network: Network
    asked: Mapping[str, str]


def separate_pools(network: Network) -> Network:
    """The network with every conv2d_max_pool2d as a conv2d and a max_pool2d of the old name."""
    nodes: list[Node] = []
    for node in network:
        if node.op == "conv2d_max_pool2d":
            pool, ceil_mode = node.attrs["pool"], node.attrs["ceil_mode"]
            conv = node.evolve(name=f"{node.name} before its pool", op="conv2d", attrs={})
            nodes += [conv, Node(node.name, "max_pool2d", (conv.name,), pool, attrs={"ceil_mode": ceil_mode})]
        else:
            nodes.append(node)
    return Network(tuple(nodes), network.outputs)


def without_flatten(network: Network) -> Reduced:
    """The nodes but for flatten."""
    sources: dict[str, str] = {}
    nodes: list[Node] = []
    for node in network:
        inputs = tuple(sources.get(name, name) for name in node.inputs)
        if node.op == "flatten":
            sources[node.name] = inputs[0]
        else:
            nodes.append(node.evolve(inputs=inputs))
    asked = {name: sources.get(name, name) for name in network.outputs.values()}
    return Reduced(Network(tuple(nodes), asked), asked)
