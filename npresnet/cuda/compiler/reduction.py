"""The network as the GPU runs it: only operations that have kernels, and nothing that moves no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from npresnet.cuda.compiler.lowerings import lowering_of
from npresnet.network import Network, Node
from npresnet.ops.registry import operation_of


class Reduced(NamedTuple):
    """One network twice.

    network  with views, so that every node reads what its operation expects: what is shown, and sized
    core     the nodes that run; its outputs name those that hold the numbers
    sources  view -> the node of `core`, or INPUT, that holds its numbers
    """

    network: Network
    core: Network
    sources: Mapping[str, str]


def reduce(network: Network) -> Reduced:
    """Expand what has no kernel of its own, then set views apart.

    Raises ArchitectureError for an operation or activation that this backend does not have.
    """
    nodes: list[Node] = []
    for node in network:
        lowering = lowering_of(node)
        operation_of(node)
        nodes += lowering.expand(node)
    return _without_views(Network(tuple(nodes), network.outputs))


def _without_views(network: Network) -> Reduced:
    sources: dict[str, str] = {}
    nodes: list[Node] = []
    for node in network:
        inputs = tuple(sources.get(name, name) for name in node.inputs)
        if lowering_of(node).is_view:
            sources[node.name] = inputs[0]
        else:
            nodes.append(node.evolve(inputs=inputs))
    outputs = {asked: sources.get(name, name) for asked, name in network.outputs.items()}
    return Reduced(network, Network(tuple(nodes), outputs), sources)
