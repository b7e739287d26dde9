"""Node and Network: validation, find, with_outputs, consumers."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node


def relu(name: str, *inputs: str) -> Node:
    return Node(name, "relu" if len(inputs) == 1 else "add", inputs)


@pytest.fixture
def network() -> Network:
    """Two blocks, each with a shortcut, and a ReLU that runs twice in the first."""
    nodes = (
        relu("conv1", INPUT),
        relu("layer1.0.conv1", "conv1"),
        relu("layer1.0.relu.1", "layer1.0.conv1"),
        relu("layer1.0.add", "layer1.0.relu.1", "conv1"),
        relu("layer1.0.relu.2", "layer1.0.add"),
        relu("layer10.0.conv1", "layer1.0.relu.2"),
        relu("fc", "layer10.0.conv1"),
    )
    return Network(nodes, {"logits": "fc"})


def test_a_node_reads_only_earlier_nodes():
    with pytest.raises(ArchitectureError, match="b reads c, which no earlier node computes"):
        Network((relu("a", INPUT), relu("b", "c"), relu("c", "a")), {})
    with pytest.raises(ArchitectureError, match="a reads a"):
        Network((relu("a", "a"),), {})


def test_names_are_unique():
    with pytest.raises(ArchitectureError, match="two nodes are called a"):
        Network((relu("a", INPUT), relu("a", INPUT)), {})
    with pytest.raises(ArchitectureError, match=f"two nodes are called {INPUT}"):
        Network((relu(INPUT, INPUT),), {})


def test_outputs_are_nodes():
    with pytest.raises(ArchitectureError, match="output logits refers to fc, but there is no such node"):
        Network((relu("a", INPUT),), {"logits": "fc"})
    assert Network((), {"image": INPUT}).outputs == {"image": INPUT}


def test_nodes_and_networks_are_immutable(network):
    node = Node("conv1", "conv2d", (INPUT,), params={"weight": np.zeros(1)}, attrs={"eps": 1})
    for change in (
        lambda: setattr(node, "name", "other"),
        lambda: node.params.update(weight=0),
        lambda: node.attrs.__setitem__("eps", 0),
        lambda: setattr(network, "nodes", ()),
        lambda: network.outputs.__setitem__("logits", "conv1"),
    ):
        with pytest.raises((AttributeError, TypeError)):
            change()


def test_a_node_copies_the_dictionaries():
    attrs = {"eps": 1e-5}
    node = Node("bn1", "batch_norm", (INPUT,), attrs=attrs)
    attrs["eps"] = 1.0
    assert node.attrs["eps"] == 1e-5


def test_evolve_does_not_change_the_original():
    node = relu("a", INPUT)
    assert node.evolve(activation="relu").activation == "relu"
    assert node.activation is None


def test_it_is_a_sequence_of_nodes_with_names(network):
    assert [node.name for node in network][:2] == ["conv1", "layer1.0.conv1"]
    assert len(network) == 7
    assert network["fc"] is network.nodes[-1]
    with pytest.raises(KeyError):
        network["layer1"]


def test_consumers(network):
    readers = {name: [node.name for node in nodes] for name, nodes in network.consumers().items()}
    assert readers[INPUT] == ["conv1"]
    assert readers["conv1"] == ["layer1.0.conv1", "layer1.0.add"]
    assert readers["fc"] == []
    assert list(readers) == [INPUT, *(node.name for node in network)]


@pytest.mark.parametrize(
    ("module", "node"),
    [
        ("fc", "fc"),
        ("conv1", "conv1"),
        ("layer1", "layer1.0.relu.2"),
        ("layer1.0", "layer1.0.relu.2"),
        ("layer1.0.relu", "layer1.0.relu.2"),
        ("layer1.0.relu.1", "layer1.0.relu.1"),
        ("layer1.0.conv1", "layer1.0.conv1"),
        ("layer10", "layer10.0.conv1"),
    ],
)
def test_find(network, module, node):
    assert network.find(module) == node


@pytest.mark.parametrize("module", ["layer2", "layer1.0.conv", "relu", "", "layer", INPUT])
def test_find_refuses_unknown_names_and_lists_some(network, module):
    with pytest.raises(ArchitectureError, match="conv1, layer1, layer10, fc"):
        network.find(module)


def test_find_in_a_network_without_nodes():
    with pytest.raises(ArchitectureError, match=r"no module called 'fc'.*this network is empty"):
        Network((), {}).find("fc")


def test_with_outputs_keeps_what_is_needed(network):
    part = network.with_outputs(["layer1.0.relu.1", "conv1"])
    assert [node.name for node in part] == ["conv1", "layer1.0.conv1", "layer1.0.relu.1"]
    assert dict(part.outputs) == {"layer1.0.relu.1": "layer1.0.relu.1", "conv1": "conv1"}
    whole = network.with_outputs(["fc", "layer1"])
    assert [node.name for node in whole] == [node.name for node in network]
    assert dict(whole.outputs) == {"fc": "fc", "layer1": "layer1.0.relu.2"}


def test_reprs_are_short_whatever_the_weights():
    model = npresnet.build("resnet50")
    assert repr(model.network) == ("<Network of 175 nodes (53 conv2d, 53 batch_norm, 49 relu, 16 add, ...) -> logits>")
    assert repr(model.network["layer1.0.conv2"]) == (
        "<Node layer1.0.conv2: conv2d of layer1.0.relu.1, window (3, 3), weight (64, 64, 3, 3)>"
    )
    assert max(len(repr(node)) for node in model.network) < 200
    assert repr(Network((), {})) == "<Network of 0 nodes (empty) -> >"
