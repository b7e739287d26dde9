"""head=: one of several classifiers, or none."""

from __future__ import annotations

import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, linear, norm
from tests.arch.heads import FEATURES, check, randomised, tensors_of, torch

nn = torch.nn
NET = basic_net((1,), head=None)
TASKS = linear("colour", 5, 8) | linear("shape.0", 4, 8) | linear("shape.1", 3, 4)


def test_a_name():
    network, config = arch.build(NET | TASKS, options={"head": "colour"})
    assert dict(network.outputs) == {"logits": "colour"}
    assert (config["head"].value, config["head"].origin) == ("colour", "caller")
    assert config["ignored"].value == "shape.0, shape.1"


def test_the_start_of_names():
    network, config = arch.build(NET | TASKS, options={"head": "shape"})
    assert [node.name for node in network][-2:] == ["shape.0", "shape.1"]
    assert config["ignored"].value == "colour"
    assert config.value("num_classes") == 3


def test_none():
    network, config = arch.build(NET | TASKS, options={"head": "none"})
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config["num_classes"].value is None


def test_a_trunk_is_kept():
    trunk, other = randomised(nn.Sequential(nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.SiLU())), nn.Linear(6, 9)
    age = randomised(nn.Linear(6, 1), seed=2)
    tensors = tensors_of(trunk, "trunk.") | tensors_of(other, "sex.") | tensors_of(age, "age.")
    _, config = check(nn.Sequential(*trunk, age), tensors, head="age", head_activation="silu")
    assert config["ignored"].value == "sex"


def test_a_list_is_the_order():
    tensors = norm("bn", 8) | linear("a", 8, 8) | linear("b", 2, 8)
    for order in (["a", "bn", "b"], ["bn", "a", "b"], ["a", "b"], ["b"]):
        network, config = arch.build(NET | tensors, options={"head": order})
        assert [node.name for node in network if node.name in tensors_names(tensors)] == order
        assert ("ignored" in config) == (len(order) < 3)


def tensors_names(tensors: dict) -> set[str]:
    return {name.rpartition(".")[0] for name in tensors}


def test_a_list_may_name_gaps():
    """As the config of earlier versions has it."""
    network, _ = arch.build(
        NET | linear("fc.0", 4, 8) | linear("fc.2", 3, 4), options={"head": ["fc.0", "fc.1", "fc.2"]}
    )
    assert [node.op for node in network][-3:] == ["linear", "relu", "linear"]


def test_what_another_home_leaves_out_is_not_forgotten():
    detection = {f"rpn.{name}": array for name, array in linear("head", 2, 8).items()}
    network, config = arch.build(NET | detection | TASKS, options={"head": "colour"})
    assert dict(network.outputs) == {"logits": "colour"}
    assert "rpn.head" in config["ignored"].value
    assert "shape.0" in config["ignored"].value


@pytest.mark.parametrize("told", ["colours", "layer1", "shap", ["colour", "size"], ["absent.0"]], ids=str)
def test_unknown_names(told):
    with pytest.raises(ArchitectureError, match=r"no classifier of that name.*colour \(5 x 8\), shape\.0 \(4 x 8\)"):
        arch.build(NET | TASKS, options={"head": told})


@pytest.mark.parametrize("told", [5, [], "", [""], ["a", 1]], ids=repr)
def test_other_values(told):
    with pytest.raises(ArchitectureError, match="option head must be a module's name"):
        arch.build(NET | TASKS, options={"head": told})
