"""Self-supervised training: the network it trained, without heads, averages and copies."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.selection.select import select
from npresnet.arch.tensors import Tensors
from tests.arch.fabric import basic_net, bottleneck_net, linear, norm, prefixed
from tests.arch.homes.layouts import numbered

BACKBONE = bottleneck_net(head=None)


def test_the_projection_of_a_contrastive_training_is_no_classifier():
    memory = {"queue": np.ones((128, 64), np.float32), "queue_ptr": np.zeros(1, np.int64)}
    network, config = arch.build(BACKBONE | memory | linear("fc.0", 256, 256) | linear("fc.2", 128, 256))
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config["ignored"].value == "queue, queue_ptr, fc.0, fc.2"


OTHER = numbered(BACKBONE, seed=5)  # the average of a network: other numbers


def heads(*names: str) -> dict[str, np.ndarray]:
    return {key: a for name in names for key, a in linear(name, 8, 8).items()}


def trained(**prefixes):
    """The network under the first prefix, another one under the second."""
    nets = zip(prefixes.values(), (BACKBONE, OTHER), strict=False)
    return {name: a for prefix, net in nets for name, a in prefixed(net, prefix).items()}


SELF_SUPERVISED = {
    "SwAV": BACKBONE | heads("projection_head.0", "prototypes"),
    "MoCo": trained(query="encoder_q.", key="encoder_k.")
    | heads("encoder_q.fc", "encoder_k.fc")
    | {"queue": np.ones((8, 4), np.float32)},
    "MoCo v3": trained(base="base_encoder.", momentum="momentum_encoder.") | heads("base_encoder.fc.0", "predictor.0"),
    "SimSiam": trained(encoder="module.encoder.") | heads("module.encoder.fc.0", "module.predictor.0"),
    "Barlow Twins": trained(backbone="backbone.") | heads("projector.0") | norm("bn", 8),
    "DINO": trained(backbone="backbone.") | heads("head.mlp.0", "head.last_layer"),
    "BYOL": trained(online="online_encoder.net.", target="target_encoder.net.")
    | prefixed(BACKBONE, "net.")
    | heads("online_encoder.projector.0", "target_encoder.projector.0", "online_predictor.0"),
    "SupContrast": trained(encoder="encoder.module.") | heads("head.0", "head.2"),
    "solo-learn": trained(backbone="backbone.", momentum="momentum_backbone.")
    | heads("projector.0", "momentum_projector.0"),
    "lightly": trained(backbone="backbone.", momentum="backbone_momentum.") | heads("projection_head.layers.0"),
}


@pytest.mark.parametrize("home", SELF_SUPERVISED)
def test_the_network_of_a_self_supervised_training(home):
    network, config = arch.build(SELF_SUPERVISED[home])
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert np.array_equal(network["layer4.0.conv3"].params["weight"], BACKBONE["layer4.0.conv3.weight"])
    assert config["ignored"].certainty == "told"


def test_stem_of_solo_learns_small_networks_is_ambiguous():
    small = prefixed(basic_net(stem=3, head=None), "backbone.") | heads("projector.0")
    _, decisions = select(Tensors(small))
    assert decisions["stem"].value == [[3, 1, 2]]
    assert decisions["stem"].alternatives == ("stem=[[3, 1, 1]]",)
    assert decisions["stem_stride"].certainty == "told"
    network, config = arch.build(small)
    assert network["conv1"].window.padding == (2, 2)
    assert config["stem"].certainty == "ambiguous"
    large = prefixed(basic_net(head=None), "backbone.") | heads("projector.0")
    assert "stem" not in select(Tensors(large))[1]


@pytest.mark.parametrize(
    "names", [("predictor",), ("projector",), ("head.mlp.0", "head.mlp.2"), ("predictor.0",), ("projection_head.0",)]
)
def test_what_may_be_a_classifier_is_not_left_out(names):
    found, decisions = select(Tensors(trained(backbone="backbone.") | heads(*names)))
    assert {f"{name}.weight" for name in names} < set(found)
    assert "ignored" not in decisions
