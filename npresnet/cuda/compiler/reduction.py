"""The network as the GPU may run it: only operations that have kernels, and nothing that moves no numbers.

There can be several such segmentations. In the first every operation has a kernel of its own. In later ones segments of
several operations, which passes have made nodes of, are one kernel each, and what lies between those operations is
never stored. Which is best depends on the images' shape and number: `program.compile_program` picks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from npresnet.cuda.compiler.lowerings import lowering_of
from npresnet.network import Network, Node
from npresnet.ops.registry import operation_of
from npresnet.passes import fuse_max_pool


class Reduced(NamedTuple):
    """One network twice.

    network  with views, so that every node reads what its operation expects: what is shown, and sized
    core     the nodes that run; its outputs name those that hold the numbers
    sources  view -> the node of `core`, or INPUT, that holds its numbers
    """

    network: Network
    core: Network
    sources: Mapping[str, str]


def segmentations(network: Network) -> tuple[Reduced, ...]:
    """The ways to run it, first the one that any GPU can run; all of them have the same outputs.

    Raises ArchitectureError for an operation or activation that this backend does not have.
    """
    fused = fuse_max_pool(network)
    has_segments = any(lowering_of(node).is_segment(node) for node in fused)
    return (reduce(network), reduce(fused, keep_segments=True)) if has_segments else (reduce(network),)


def reduce(network: Network, *, keep_segments: bool = False) -> Reduced:
    """Expand what has no kernel of its own, then set views apart.

    Raises ArchitectureError for an operation or activation that this backend does not have.
    """
    nodes: list[Node] = []
    for node in network:
        lowering = lowering_of(node)
        operation_of(node)
        nodes += (node,) if keep_segments and lowering.is_segment(node) else lowering.expand(node)
    return _without_views(Network(tuple(nodes), network.outputs))


def keeping_all(reduced: Reduced) -> Reduced:
    """The same with the value of every node among its outputs, by the node's name."""
    network = reduced.network
    return reduce(Network(network.nodes, {node.name: node.name for node in network}), keep_segments=True)


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
