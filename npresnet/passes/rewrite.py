"""What every pass needs: merge a node into the one before it, and keep the outputs' names true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from npresnet.network import Network, Node
from npresnet.ops.registry import ACTIVATIONS

# merge(node, made, single_use) -> (producer, merged) or None
Merge = Callable[[Node, Mapping[str, Node], Set[str]], "tuple[Node, Node] | None"]


def single_use_values(network: Network) -> set[str]:
    """The nodes whose result one other node reads, once, and nobody else sees, the caller included."""
    asked = set(network.outputs.values())
    return {
        name
        for name, readers in network.consumers().items()
        if len(readers) == 1 and readers[0].inputs.count(name) == 1 and name not in asked
    }


def carrying(node: Node, activation: str | None, source: Node) -> Node:
    """`node` with this activation, whose attrs (negative_slope, ...) are those of `source`."""
    if activation is None:
        return node
    attrs = {name: source.attrs[name] for name in ACTIVATIONS[activation].attrs if name in source.attrs}
    return node.evolve(activation=activation, attrs={**node.attrs, **attrs})


def merge_pairs(network: Network, merge: Merge) -> Network:
    """Replace pairs (producer, reader) by one node, wherever `merge(reader, made, single_use)` gives (producer, merged).

    `made` holds the nodes so far by name, `single_use` the names of those that only one node reads. The merged node stands
    where the reader stood, so that all it reads has been made; whoever read the reader, or asked for it as an output,
    gets the merged node.
    """
    single_use = single_use_values(network)
    made: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in network:
        is_private = node.name in single_use
        if not renamed.keys().isdisjoint(node.inputs):
            node = node.evolve(inputs=tuple(renamed.get(name, name) for name in node.inputs))
        found = merge(node, made, single_use)
        if found is not None:
            producer, merged = found
            del made[producer.name]
            renamed[node.name] = merged.name
            node = merged
        made[node.name] = node
        if is_private:
            single_use.add(node.name)
        else:
            single_use.discard(node.name)
    return Network(tuple(made.values()), {asked: renamed.get(name, name) for asked, name in network.outputs.items()})
