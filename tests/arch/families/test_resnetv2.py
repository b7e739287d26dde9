"""timm's ResNet v2 and BiT: what is read from tensors, what is assumed, and the network that follows."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import resnetv2
from npresnet.errors import ArchitectureError
from tests.arch.fabric import without
from tests.arch.families.tiny import tiny

BASIC = {"block": "BasicBlock", "layers": [1, 2]}


def net(**options):
    return tiny(resnetv2, **{**BASIC, **options})


BIT = net(norm="group_norm", weight_standardisation=True, pool_border="zeros")


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (net(), ("batch_norm", "7x7", False, "none", False)),
        (BIT, ("group_norm", "7x7", True, "zeros", False)),
        (net(norm="group_norm", stem_type="deep"), ("group_norm", "deep", False, "none", True)),
        (net(norm="evo_norm_s0", stem_type="deep"), ("evo_norm_s0", "deep", False, "none", True)),
        (net(norm="filter_response_norm"), ("filter_response_norm", "7x7", False, "none", False)),
    ],
    ids=["plain", "BiT", "deep GroupNorm", "EvoNorm", "FRN"],
)
def test_what_norm_and_stem_imply(tensors, expected):
    _, config = arch.build(tensors)
    names = ("norm", "stem_type", "weight_standardisation", "pool_border", "avg_down")
    assert tuple(config.value(name) for name in names) == expected
    assert {config[name].certainty for name in names[2:]} == {"custom"}
    assert config.ambiguous() == {}


def test_filters_of_bit_are_standardised():
    network, _ = arch.build(BIT)
    for node in network:
        if node.op == "conv2d":
            weight = node.params["weight"].astype(np.float64)
            np.testing.assert_allclose(weight.mean(axis=(1, 2, 3)), 0, atol=1e-6)
            np.testing.assert_allclose(weight.var(axis=(1, 2, 3)), 1, rtol=1e-5)
            assert node.params["weight"].dtype == np.float32
    plain, _ = arch.build(BIT, options={"weight_standardisation": False})
    assert plain["stem.conv"].params["weight"] is BIT["stem.conv.weight"]


def test_the_border_of_the_pool():
    network, _ = arch.build(BIT)
    assert (network["stem.pad"].op, network["stem.pool"].window.padding) == ("pad2d", (0, 0))
    other, _ = arch.build(BIT, options={"pool_border": "none"})
    assert other["stem.pool"].window.padding == (1, 1)
    assert "stem.pad" not in [node.name for node in other]


def test_the_stride_of_a_projection_is_a_pool_s_in_networks_with_a_deep_stem():
    network, _ = arch.build(net(stem_type="deep"))
    assert network["stages.1.blocks.0.downsample.pool"].op == "avg_pool2d"
    assert network["stages.1.blocks.0.downsample.conv"].window.stride == (1, 1)
    other, config = arch.build(net(stem_type="deep"), options={"avg_down": False})
    assert other["stages.1.blocks.0.downsample.conv"].window.stride == (2, 2)
    assert config["avg_down"].origin == "caller"


def test_a_block_reads_what_its_first_norm_activated():
    network, _ = arch.build(net())
    name = "stages.1.blocks.0"
    assert network[f"{name}.conv1"].inputs == network[f"{name}.downsample.conv"].inputs == (f"{name}.norm1.act",)
    assert network[f"{name}.add"].inputs == (f"{name}.conv2", f"{name}.downsample.conv")
    assert network["stages.1.blocks.1.add"].inputs == ("stages.1.blocks.1.conv2", f"{name}.add")
    assert network["norm"].inputs == ("stages.1.blocks.1.add",)


def test_suggestions():
    _, config = arch.build(net(num_classes=1000))
    assert config.value("labels") == "imagenet"
    assert config.value("preprocess")["mean"] == [0.5, 0.5, 0.5]
    assert arch.build(BIT)[1].value("preprocess")["crop"] == 448
    _, grey = arch.build(net(in_channels=1))
    assert (grey.value("preprocess"), grey.value("in_channels"), grey.value("labels")) == (None, 1, None)


def test_without_a_classifier_it_embeds():
    network, config = arch.build(without(net(), "head."))
    assert dict(network.outputs) == {"embedding": "head.pooled"}
    assert config.value("num_classes") is None


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (without(net(), "norm."), "hybrid"),
        (without(net(), "stages.0.blocks.0.norm2.weight"), r"stages\.0\.blocks\.0\.norm2\.weight is missing"),
        (without(net(), "stages.1.blocks.0."), r"stages\.1\.blocks\.0, stages\.1\.blocks\.1"),
        (net() | {"stages.0.blocks.0.gate": np.ones(3, np.float32)}, r"stages\.0\.blocks\.0\.gate \(3,\)"),
    ],
    ids=["no final norm", "a norm gone", "a block gone", "more"],
)
def test_refusals(tensors, words):
    with pytest.raises(ArchitectureError, match=words):
        arch.build(tensors)


def test_groups_that_do_not_divide_the_channels():
    with pytest.raises(ArchitectureError, match=r"norm1 cannot have 48 groups.* norm_groups="):
        arch.build(BIT, options={"norm_groups": 48})
