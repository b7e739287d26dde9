"""Shared by all passes: merge a node into its producer while keeping the outputs' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from npresnet.network import Network, Node
from npresnet.ops.registry import activation_of

# merge(node, made, single_use) -> (producer, merged) or None
Merge = Callable[[Node, Mapping[str, Node], Set[str]], "tuple[Node, Node] | None"]


def single_use_values(network: Network) -> set[str]:
    """The nodes whose value is read exactly once, by one other node, and is not an output."""
    outputs = set(network.outputs.values())
    return {
        name
        for name, readers in network.consumers().items()
        if len(readers) == 1 and readers[0].inputs.count(name) == 1 and name not in outputs
    }


def carrying(node: Node, activation: str | None, source: Node) -> Node:
    """`node` with this activation and its attributes (negative_slope, ...) from `source`."""
    if activation is None:
        return node
    merged = node.evolve(activation=activation)
    attrs = {name: source.attrs[name] for name in activation_of(merged).attrs if name in source.attrs}
    return merged.evolve(attrs={**node.attrs, **attrs})


def merge_pairs(network: Network, merge: Merge) -> Network:
    """Replace pairs (producer, reader) by one node if `merge(reader, made, single_use)` returns (producer, merged).

    `made` maps the names of the earlier nodes to nodes, `single_use` holds the names of single-use values. The merged
    node takes the reader's position, after all of its inputs, and replaces the reader in other nodes and outputs.
    """
    single_use = single_use_values(network)
    made: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in network:
        is_single_use = node.name in single_use
        if not renamed.keys().isdisjoint(node.inputs):
            node = node.evolve(inputs=tuple(renamed.get(name, name) for name in node.inputs))
        found = merge(node, made, single_use)
        if found is not None:
            producer, merged = found
            del made[producer.name]
            renamed[node.name] = merged.name
            node = merged
        made[node.name] = node
        if is_single_use:
            single_use.add(node.name)
        else:
            single_use.discard(node.name)
    return Network(tuple(made.values()), {output: renamed.get(name, name) for output, name in network.outputs.items()})
