"""merge_pairs; its uses are tested in test_fold_batch_norm and test_fuse."""

from __future__ import annotations

from itertools import pairwise

from npresnet.network import INPUT, Network, Node
from npresnet.passes.rewrite import merge_pairs


def chain(length: int) -> Network:
    names = [INPUT, *(f"relu.{number}" for number in range(length))]
    nodes = [Node(name, "relu", (before,)) for before, name in pairwise(names)]
    return Network(tuple(nodes), {"out": names[-1]})


def test_the_single_use_names_are_not_copied_for_each_node():
    """A copy for each node would take minutes instead of seconds for a file of 8,000 blocks."""
    seen = []

    def merge(_node, _made, single_use):
        seen.append(single_use)

    network = merge_pairs(chain(50), merge)
    assert len(network) == 50
    assert all(single_use is seen[0] for single_use in seen)


def test_merged_pairs_stay_single_use():
    """Chains become one node: the second merge sees the result of the first."""

    def merge(node, made, single_use):
        producer = made.get(node.inputs[0])
        if producer is None or producer.name not in single_use:
            return None
        return producer, node.evolve(inputs=producer.inputs)

    network = merge_pairs(chain(5), merge)
    assert [(node.name, node.inputs) for node in network] == [("relu.4", (INPUT,))]
