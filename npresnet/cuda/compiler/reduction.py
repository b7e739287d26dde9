"""The network as the GPU runs it: only operations that have kernels, and nothing that moves no numbers."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.cuda.compiler.lowerings import lowering_of
from npresnet.network import Network, Node
from npresnet.ops.registry import operation_of


class Reduced(NamedTuple):
    """One network twice.

    whole    with views, so that every node reads what its operation expects: shapes are inferred from it
    network  as it runs, without views; its outputs name the nodes that hold the numbers
    """

    whole: Network
    network: Network


def reduce(network: Network) -> Reduced:
    """Expand what has no kernel of its own, then leave out views.

    Raises ArchitectureError for an operation or activation that this backend does not have.
    """
    whole = _expanded(network)
    return Reduced(whole, _without_views(whole))


def _expanded(network: Network) -> Network:
    nodes: list[Node] = []
    for node in network:
        lowering = lowering_of(node)
        operation_of(node)
        nodes += lowering.expand(node)
    return Network(tuple(nodes), network.outputs)


def _without_views(network: Network) -> Network:
    sources: dict[str, str] = {}
    nodes: list[Node] = []
    for node in network:
        inputs = tuple(sources.get(name, name) for name in node.inputs)
        if lowering_of(node).is_view:
            sources[node.name] = inputs[0]
        else:
            nodes.append(node.evolve(inputs=inputs))
    return Network(tuple(nodes), {asked: sources.get(name, name) for asked, name in network.outputs.items()})
