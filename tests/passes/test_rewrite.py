"""merge_pairs itself; what it is used for stands in test_fold_batch_norm and test_fuse."""

from __future__ import annotations

from itertools import pairwise

from npresnet.network import INPUT, Network, Node
from npresnet.passes.rewrite import merge_pairs


def chain(length: int) -> Network:
    names = [INPUT, *(f"relu.{number}" for number in range(length))]
    nodes = [Node(name, "relu", (before,)) for before, name in pairwise(names)]
    return Network(tuple(nodes), {"out": names[-1]})


def test_the_private_names_are_kept_not_copied_for_each_node():
    """A copy for each node makes a file of 8,000 blocks cost minutes instead of seconds."""
    seen = []

    def merge(_node, _made, private):
        seen.append(private)

    network = merge_pairs(chain(50), merge)
    assert len(network) == 50
    assert all(private is seen[0] for private in seen)


def test_merged_pairs_stay_private():
    """Three in a row become one: the second merge sees the first one's result."""

    def merge(node, made, private):
        producer = made.get(node.inputs[0])
        if producer is None or producer.name not in private:
            return None
        return producer, node.evolve(inputs=producer.inputs)

    network = merge_pairs(chain(5), merge)
    assert [(node.name, node.inputs) for node in network] == [("relu.4", (INPUT,))]
