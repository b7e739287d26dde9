"""The classifier, plain or Sequential, or none."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, conv, linear, norm

NET = basic_net((1,), head=None)  # gives 8 features


@pytest.mark.parametrize("name", ["fc", "linear", "classifier"])
def test_one_linear_layer(name):
    network, config = arch.build(NET | linear(name, 2, 8))
    assert dict(network.outputs) == {"logits": name}
    assert config.value("num_classes") == 2
    assert "head" not in config


def test_a_linear_layer_without_bias():
    network, _ = arch.build(NET | {"fc.weight": np.ones((3, 8), np.float32)})
    assert set(network["fc"].params) == {"weight"}


@pytest.mark.parametrize(
    ("places", "nodes"),
    [
        ([0], ["fc.0"]),
        ([1], ["fc.1"]),
        ([0, 1], ["fc.0", "fc.1"]),
        ([0, 2], ["fc.0", "fc.1", "fc.2"]),
        ([0, 3], ["fc.0", "fc.1", "fc.3"]),
        ([1, 4], ["fc.1", "fc.2", "fc.4"]),
        ([1, 4, 6], ["fc.1", "fc.2", "fc.4", "fc.5", "fc.6"]),
    ],
    ids=str,
)
def test_sequential(places, nodes):
    """A module between two Linear layers is assumed to be a ReLU, and the assumption is recorded."""
    layers = [linear(f"fc.{i}", 4, 8 if i == places[0] else 4) for i in places]
    network, config = arch.build({k: v for part in (NET, *layers) for k, v in part.items()})
    assert [node.name for node in network][-len(nodes) :] == nodes
    assert [network[name].op for name in nodes] == ["linear" if int(n[3:]) in places else "relu" for n in nodes]
    assert dict(network.outputs) == {"logits": nodes[-1]}
    assert config["head"].origin == "default"
    assert ("ReLU" in config["head"].note) == (len(nodes) > len(places))
    assert network.find("fc") == nodes[-1]


REFUSED = {
    "too far in": linear("fc.2", 4, 8),
    "too far apart": linear("fc.0", 4, 8) | linear("fc.4", 4, 4),
    "a BatchNorm between": linear("fc.0", 4, 8) | norm("fc.1", 4) | linear("fc.3", 4, 4),
    "a convolution": conv("fc.0", 4, 8, 1, 1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unreadable_sequentials_come_with_advice(case):
    with pytest.raises(ArchitectureError, match=r"(?s)classifier fc is a Sequential.*embedding") as caught:
        arch.build(NET | REFUSED[case])
    assert "fc.0" in str(caught.value) or "fc.2" in str(caught.value)


def test_layers_of_a_sequential_must_chain():
    with pytest.raises(ArchitectureError, match=r"fc\.2\.weight has shape \(3, 5\), expected \(3, 4\)"):
        arch.build(NET | linear("fc.0", 4, 8) | linear("fc.2", 3, 5))


def test_none():
    network, config = arch.build(NET)
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config["num_classes"].value is None
    with pytest.raises(ArchitectureError, match="no classifier"):
        arch.build(NET, options={"num_classes": 1000})
