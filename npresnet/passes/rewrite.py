"""What every pass needs: merge a node into the one before it, and keep the outputs' names true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from npresnet.network import Network, Node

# merge(node, made, private) -> (producer, merged) or None
Merge = Callable[[Node, Mapping[str, Node], Set[str]], "tuple[Node, Node] | None"]


def single_use_values(network: Network) -> set[str]:
    """The nodes whose result one other node reads, once, and nobody else sees, the caller included."""
    asked = set(network.outputs.values())
    return {
        name
        for name, readers in network.consumers().items()
        if len(readers) == 1 and readers[0].inputs.count(name) == 1 and name not in asked
    }


def merge_pairs(network: Network, merge: Merge) -> Network:
    """Replace pairs (producer, reader) by one node, wherever `merge(reader, made, private)` gives (producer, merged).

    `made` holds the nodes so far by name, `private` the names of those that only one node reads. The merged node stands
    where the reader stood, so that all it reads has been made; whoever read the reader, or asked for it as an output,
    gets the merged node.
    """
    private = single_use_values(network)
    made: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in network:
        is_private = node.name in private
        if not renamed.keys().isdisjoint(node.inputs):
            node = node.evolve(inputs=tuple(renamed.get(name, name) for name in node.inputs))
        found = merge(node, made, private)
        if found is not None:
            producer, merged = found
            del made[producer.name]
            renamed[node.name] = merged.name
            node = merged
        made[node.name] = node
        if is_private:
            private.add(node.name)
        else:
            private.discard(node.name)
    return Network(tuple(made.values()), {asked: renamed.get(name, name) for asked, name in network.outputs.items()})
