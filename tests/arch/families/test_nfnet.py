"""timm's networks without normalisation: constants folded into filters, gates, and what tensors do not tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import nfnet
from npresnet.arch.families.nfnet_archs import ARCHS, GAMMA, divisible
from npresnet.arch.tensors import Tensors
from tests.arch.families.tiny import tiny

SMALL = {"layers": [1, 2], "channels": [16, 32], "stem_channels": 16, "bottle_ratio": 0.5}


def net(**options):
    return tiny(nfnet, **{"stem_type": "7x7", "activation": "relu", **SMALL, **options})


DEEP = {"stem_type": "deep", "attention": "se", "features": 24, "extra_conv": True, "group_size": 8}
DEEPMIND = {"skipinit": True, "gamma_in_activation": True, "same_padding": True, "activation": "gelu"}


def factor(network, name: str, fan_in: int, gain: np.ndarray) -> np.ndarray:
    """The standard deviation of each filter, over gain / sqrt(fan_in)."""
    deviation = network[name].params["weight"].astype(np.float64).std(axis=(1, 2, 3))
    return deviation / gain.ravel() * math.sqrt(fan_in)


def test_beta_and_gamma_are_factors_of_filters():
    tensors = net()
    network, _ = arch.build(tensors)
    gamma = GAMMA["relu"]
    betas = {"stages.0.0": 1.0, "stages.1.0": 1 / math.sqrt(1.04), "stages.1.1": 1 / math.sqrt(1.04)}
    for name, beta in betas.items():
        weight, gain = tensors[f"{name}.conv1.weight"], tensors[f"{name}.conv1.gain"]
        found = factor(network, f"{name}.conv1", weight.shape[1], gain)
        np.testing.assert_allclose(found, gamma * beta, rtol=1e-4)
    found = factor(network, "stem.conv", 3 * 49, tensors["stem.conv.gain"])
    np.testing.assert_allclose(found, gamma, rtol=1e-4)


def test_with_gamma_in_the_activation_filters_of_the_image_have_none():
    tensors = net(**DEEP, **DEEPMIND)
    network, config = arch.build(tensors)
    assert config.value("activation") == "gelu"
    np.testing.assert_allclose(factor(network, "stem.conv1", 27, tensors["stem.conv1.gain"]), 1, rtol=1e-4)
    np.testing.assert_allclose(factor(network, "final_conv", 32, tensors["final_conv.gain"]), 1, rtol=1e-4)
    assert set(network["final_act"].params["weight"]) == {GAMMA["gelu"]}


def test_a_branch_is_scaled_by_alpha_its_gain_and_the_gate_s():
    tensors = net(**DEEP, **DEEPMIND) | {"stages.1.0.skipinit_gain": np.array(0.5, np.float32)}
    network, _ = arch.build(tensors)
    assert set(network["stages.1.0.scale"].params["weight"]) == {0.2 * 0.5 * 2.0}
    assert network["stages.1.0.scale"].inputs == ("stages.1.0.attn_last.multiply",)
    other, _ = arch.build(tensors, options={"alpha": 1.0, "gate_gain": 1.0})
    assert set(other["stages.1.0.scale"].params["weight"]) == {0.5}


def test_same_padding_is_put_before_strided_convolutions_only():
    network, _ = arch.build(net(**DEEP, **DEEPMIND))
    padded = [node.name for node in network if node.op == "pad2d"]
    assert padded == ["stem.conv1.pad", "stem.conv4.pad", "stages.1.0.conv2.pad"]
    assert network["stages.1.0.conv2"].window.padding == (0, 0)
    assert network["stages.1.1.conv2"].window.padding == (1, 1)


def test_a_gate_inside_the_branch_belongs_to_a_regnet():
    network, config = arch.build(net(stem_type="3x3", attention="se", expands_input=True, group_size=8, features=24))
    assert network["stages.0.0.attn_gain"].inputs == ("stages.0.0.attn.multiply",)
    assert network["stages.0.0.act3"].inputs == ("stages.0.0.attn_gain",)
    assert config.value("activation") == "silu"
    assert network["stages.0.0.conv2"].window.stride == (2, 2)


def test_activation():
    """That of timm's network of these sizes; ambiguous for others."""
    _, config = arch.build(net())
    assert config.value("activation") == "relu"
    assert config["activation"].alternatives == ("activation='gelu'", "activation='silu'")
    _, told = arch.build(net(), options={"activation": "silu"})
    assert told.ambiguous() == {}
    sizes = {"channels": [32, 64, 96, 128], "layers": [1, 1, 1, 1], "stem_channels": 128, "bottle_ratio": 0.25}
    _, known = arch.build(net(**{**DEEP, **sizes, "features": 192}))
    assert (known.value("arch"), known["activation"].certainty) == ("test_nfnet", "custom")


@pytest.mark.parametrize(("number", "expected"), [(10, 16), (12, 16), (20, 24), (3, 8), (330, 328), (64, 64)])
def test_divisible(number, expected):
    assert divisible(number) == expected


def test_divisible_may_round_down_further():
    assert (divisible(11, least_part=0.0), divisible(11)) == (8, 16)


def test_names_fix_all_that_a_random_network_needs():
    assert len(ARCHS) == 36
    assert nfnet.named("nfnet") == {}
    assert nfnet.named("resnet50") is None
    assert nfnet.signature(Tensors(net()))
