"""Which tensors are the network: prefixes, copies, heads of other tasks, what training left; and what is recorded."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.homes import tables
from npresnet.arch.homes.home import Home
from npresnet.arch.selection.select import select
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net, linear, prefixed, without
from tests.arch.homes.layouts import numbered

BACKBONE = bottleneck_net(head=None)


def number(size: int = 1) -> np.ndarray:
    return np.ones(size, np.float32)


@pytest.mark.parametrize("prefix", ["backbone.", "backbone.body.", "encoder.", "model.", "net.resnet.", "(odd)+."])
def test_prefix_of_the_backbone_alone(prefix):
    """Where only some tensors have the prefix, the others must still be used."""
    network, config = arch.build(prefixed(BACKBONE, prefix))
    assert config["prefix"].value == prefix
    assert network.nodes[0].name == "conv1"
    with pytest.raises(ArchitectureError, match=r"gate\.scale \(3,\)"):
        arch.build(prefixed(BACKBONE, prefix) | {"gate.scale": number(3)})


def test_tensors_beside_the_network_cannot_pass_for_its_own():
    """A fifth stage, or another first convolution, of the module around the network."""
    beside = prefixed(without(without(basic_net(head=None), "conv1."), "bn1."), "x.")
    stage = {name.replace("x.layer1", "layer5"): a for name, a in beside.items() if name.startswith("x.layer1")}
    for tensors, name in ((stage, r"layer5\.0\.conv1\.weight"), ({"conv1.weight": number(3)}, r"conv1\.weight \(3,\)")):
        with pytest.raises(ArchitectureError, match=rf"none of the network's layers reads: {name}"):
            arch.build(prefixed(BACKBONE, "backbone.") | tensors)


def test_two_networks_in_one_file_are_asked_about():
    students = prefixed(BACKBONE, "student.") | prefixed(numbered(BACKBONE), "teacher.")
    with pytest.raises(
        ArchitectureError, match=r"2 networks with different numbers, under student, teacher.*key='student'"
    ):
        arch.build(students)


def test_a_network_without_a_prefix_beside_its_average_has_a_way_to_be_loaded():
    """No key names it alone: the message says which arrays to load."""
    plain, average = numbered(basic_net()), numbered(basic_net(), seed=1)
    with pytest.raises(ArchitectureError, match=r"Give key='ema'; for the one without .* (\{.*\})") as caught:
        arch.build(plain | prefixed(average, "ema."))
    advised = re.search(r"\{.*\}", str(caught.value))[0]
    found = eval(advised, {"read_state_dict": lambda path: plain | prefixed(average, "ema."), "path": ""})
    assert found.keys() == plain.keys()


def test_what_spoils_a_network_below_a_prefix_is_answered_by_its_key():
    """Text beside images, a recurrent network behind the features: the error names the key of the network alone."""
    net = prefixed(basic_net(head=None), "model.image.")
    text = {"model.text.word_embeddings.weight": np.ones((9, 4), np.float32)}
    recurrent = {"model.lstm.weight_ih_l0": np.ones((4, 64), np.float32)} | linear("model.fc", 5, 4)
    for beside, why in ((text, "a language model"), (recurrent, r"fc\.weight has shape")):
        with pytest.raises(ArchitectureError, match=rf"(?s){why}.*[.?] key='model\.image' reads the network"):
            arch.build(net | beside)
    with pytest.raises(ArchitectureError) as caught:  # what is wrong inside is not settled by a key
        arch.build(without(net, "model.image.bn1") | text)
    assert "key=" not in str(caught.value)
    for wanted in ({"arch": "resnet50"}, {"options": {"groups": 32}}):  # nor is what the caller says wrongly
        for beside in (text, {"criterion.weight": np.ones(9, np.float32)}):
            with pytest.raises(ArchitectureError) as caught:
                arch.build(net | beside, **wanted)
            assert "key=" not in str(caught.value)


def test_a_whole_copy_is_left_out():
    net = numbered(basic_net())
    copies = prefixed(net, "model.") | prefixed(net, "attacker.model.")
    network, config = arch.build(copies)
    assert config["ignored"] == Decision("attacker.model", "inferred", "a whole copy of model")
    assert network["fc"].params["weight"] is copies["model.fc.weight"]


def test_many_networks_in_one_file_are_refused_at_once():
    stem = {
        "conv1.weight": np.ones((1, 3, 7, 7), np.float32),
        "layer1.0.conv1.weight": np.ones((1, 1, 3, 3), np.float32),
    }
    many = {name: a for i in range(2000) for name, a in prefixed(stem, f"nets.{i}.").items()}
    with pytest.raises(ArchitectureError, match=r"networks with different numbers, under nets\.\d+"):
        arch.build(many)


@pytest.mark.parametrize("change", ["a number", "a name", "a shape"])
def test_what_differs_in_anything_is_no_copy(change):
    net = numbered(basic_net())
    other = dict(net)
    if change == "a number":
        other["layer4.0.bn2.bias"] = other["layer4.0.bn2.bias"] + np.float32(1e-6)
    elif change == "a name":
        other["layer1.0.gate"] = number()
    else:
        other |= linear("fc", 4, 64)
    for files in (prefixed(net, "a.") | prefixed(other, "b."), prefixed(other, "a.") | prefixed(net, "b.")):
        with pytest.raises(ArchitectureError, match=r"key='a'"):
            arch.build(files)


def test_a_layer_beside_the_network_with_one_of_its_names_stays():
    """`head.fc` beside `backbone.fc` was once taken for a copy of it, and left out."""
    found, decisions = select(Tensors(prefixed(basic_net(), "backbone.") | linear("head.fc", 3, 5)))
    assert found.shape("head.fc.weight") == (3, 5)
    assert found.shape("fc.weight") == (5, 64)
    assert "ignored" not in decisions
    found, _ = select(Tensors(prefixed(basic_net(), "resnet.") | linear("fc", 3, 5)))
    assert found.shape("outside.fc.weight") == (3, 5)


def test_averaged_weights_below_a_prefix():
    net = basic_net()
    network, config = arch.build(prefixed(net, "module.") | {"n_averaged": np.array(5, np.int64)})
    assert dict(network.outputs) == {"logits": "fc"}
    assert (config.value("prefix"), config.value("ignored")) == ("module.", "n_averaged")


def test_plain_torchvision_files_leave_no_doubt_but_one():
    """365 classes may mean Places365's network without a max pool."""
    for tensors in (basic_net(), bottleneck_net(), {k: a for k, a in basic_net().items() if "tracked" not in k}):
        assert not arch.build(tensors)[1].ambiguous()
    for tensors in (basic_net(classes=365), prefixed(basic_net(classes=365), "encoder.")):
        _, config = arch.build(tensors)
        assert config["max_pool"].alternatives == ("max_pool=False",)


def test_nothing_is_ignored_silently():
    network, config = arch.build(BACKBONE)
    assert "ignored" not in config
    assert np.array_equal(network["conv1"].params["weight"], BACKBONE["conv1.weight"])


def test_a_new_home_is_a_table(monkeypatch):
    """Names of another home, translated by patterns only; what is left out and what follows is recorded."""
    home = Home(
        home="another",
        marks=("blocks.1.0.layer.1.conv.weight", "conv1."),
        renamed=(
            (r"^blocks\.([0-9]+)\.", r"layer\1."),
            (r"\.layer\.([0-9])\.conv\.", r".conv\1."),
            (r"\.layer\.([0-9])\.norm\.", r".bn\1."),
        ),
    )
    beside = Home(
        found_by=r"^tracker\.",
        left_out=r"^tracker\.",
        note="of a training loop",
        implied={"max_pool": False, "bn_eps": 1e-3},
        where=r"^layer1\.0\.conv1\.weight$",
        because="that home has no max pool",
        alternatives={"bn_eps": ("bn_eps=1e-5",)},
    )
    theirs = {re.sub(r"^layer([0-9])\.", r"blocks.\1.", name): array for name, array in basic_net().items()}
    theirs = {re.sub(r"\.conv([0-9])\.", r".layer.\1.conv.", name): array for name, array in theirs.items()}
    theirs = {re.sub(r"\.bn([0-9])\.", r".layer.\1.norm.", name): array for name, array in theirs.items()}
    theirs |= {"tracker.mean": np.ones(3, np.float32)}
    with pytest.raises(ArchitectureError):
        arch.build(theirs)
    monkeypatch.setattr(tables, "HOMES", (*tables.HOMES, home, beside))
    network, config = arch.build(theirs)
    expected, _ = arch.build(basic_net(), options={"max_pool": False})
    assert [node.name for node in network] == [node.name for node in expected]
    assert network["layer2.0.bn1"].params["bias"] is theirs["blocks.2.0.layer.1.norm.bias"]
    assert config["home"].value == "another"
    assert config["ignored"] == Decision("tracker.mean", "inferred", beside.note)
    assert config["max_pool"] == Decision(False, "inferred", beside.because)
    assert config["bn_eps"] == Decision(1e-3, "default", beside.because, ("bn_eps=1e-5",))
