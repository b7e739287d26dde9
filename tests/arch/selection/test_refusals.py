"""What `arch.build` refuses, and its messages: the tensor's name, both shapes with their axes, the rule."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net, conv, linear, norm, prefixed, without

BAD = {
    "empty": ({}, ["not a ResNet", "none at all"]),
    "other names": ({"a.weight": np.ones(3, np.float32)}, ["not a ResNet", "a.weight"]),
    "names that are no text": ({3: np.ones(3, np.float32)}, ["got 3"]),
    "no stem": (without(basic_net(), "conv1."), ["conv1.weight is missing"]),
    "no bn1": (without(basic_net(), "bn1."), ["bn1.weight is missing"]),
    "a statistic gone": (without(basic_net(), "layer2.0.bn1.running_var"), ["layer2.0.bn1.running_var is missing"]),
    "conv2 gone": (without(basic_net(), "layer3.0.conv2"), ["layer3.0.conv2.weight is missing"]),
    "conv3 gone": (without(bottleneck_net(), "layer1.0.conv3"), ["layer1.0.conv3.weight is missing"]),
    "projection gone": (
        without(basic_net(), "layer2.0.downsample"),
        ["layer2.0.downsample.0.weight is missing", "(N, 8, H, W)", "(N, 16, H/2, W/2)"],
    ),
    "projection's norm gone": (without(basic_net(), "layer2.0.downsample.1"), ["layer2.0.downsample.1.weight"]),
    "a stage gone": (without(basic_net(), "layer2."), ["layer1, layer2", "1, 3, 4"]),
    "a block gone": (without(basic_net((3, 1, 1, 1)), "layer1.1."), ["layer1.0, layer1.1", "0, 2"]),
    "first block gone": (without(basic_net((1, 2)), "layer2.0."), ["layer2.0", "are there: 1."]),
    "conv of another width": (
        basic_net() | conv("layer2.0.conv2", 16, 5, 3, 3),
        ["layer2.0.conv2.weight", "(16, 5, 3, 3), expected (16, 16, 3, 3)", "in_channels/groups", "(N, 16, H, W)"],
    ),
    "stem of another width": (
        basic_net() | conv("conv1", 9, 3, 7, 7),
        ["conv1.weight", "(9, 3, 7, 7), expected (8, 3, 7, 7)", "to bn1"],
    ),
    "norm of another width": (
        basic_net() | norm("layer1.0.bn2", 4),
        ["layer1.0.conv2.weight", "(8, 8, 3, 3), expected (4, 8, 3, 3)", "(N, 4, H, W)   to layer1.0.bn2"],
    ),
    "vector of another length": (
        basic_net() | {"layer1.0.bn2.bias": np.ones(4, np.float32)},
        ["layer1.0.bn2.bias", "(4,), expected (8,)", "channels", "(N, 8, H, W)   from layer1.0.conv2"],
    ),
    "projection of another width": (
        basic_net() | conv("layer2.0.downsample.0", 12, 8, 1, 1) | norm("layer2.0.downsample.1", 12),
        ["layer2.0.downsample.0.weight", "(12, 8, 1, 1), expected (16, 8, 1, 1)", "(N, 16, H/2, W/2)", "layer2.0.bn2"],
    ),
    "classifier of another net": (
        basic_net() | linear("fc", 5, 512),
        ["fc.weight", "(5, 512), expected (5, 64)", "in_features", "(N, 64)   from flatten"],
    ),
    "bias of another length": (
        basic_net() | {"fc.bias": np.ones(4, np.float32)},
        ["fc.bias", "(4,), expected (5,)", "fc.weight"],
    ),
    "conv of another kernel": (
        basic_net() | conv("layer1.0.conv1", 8, 8, 1, 1),
        ["layer1.0.conv1.weight", "(8, 8, 1, 1), expected (8, 8, 3, 3)", "3x3"],
    ),
    "projection of 3x3": (
        basic_net() | conv("layer2.0.downsample.0", 16, 8, 3, 3),
        ["layer2.0.downsample.0.weight", "expected (16, 8, 1, 1)", "1x1"],
    ),
    "stem with an even side": (basic_net(stem=4), ["conv1.weight", "(8, 3, 4, 4)", "odd side"]),
    "oblong stem": (basic_net() | conv("conv1", 8, 3, 7, 3), ["conv1.weight", "(8, 3, 7, 3)"]),
    "stem of an unusual size": (basic_net(stem=5), ["stem_stride", "5x5", "max_pool"]),
    "0-d": (basic_net() | {"bn1.bias": np.float32(1)}, ["bn1.bias", "()", "channels"]),
    "0-d stem": (basic_net() | {"conv1.weight": np.float32(1)}, ["conv1.weight", "()", "kernel_height"]),
    "2-D stem": (basic_net() | {"conv1.weight": np.ones((8, 147), np.float32)}, ["conv1.weight", "(8, 147)"]),
    "empty axis": (basic_net() | conv("layer1.0.conv1", 8, 0, 3, 3), ["layer1.0.conv1.weight", "(8, 0, 3, 3)"]),
    "empty classes": (basic_net() | linear("fc", 0, 64), ["fc.weight", "(0, 64)"]),
    "integers": (basic_net() | {"conv1.weight": np.ones((8, 3, 7, 7), np.int8)}, ["conv1.weight", "int8"]),
    "complex": (basic_net() | {"fc.weight": np.ones((5, 64), np.complex64)}, ["fc.weight", "complex64"]),
    "objects": (basic_net() | {"fc.weight": np.array([[None]])}, ["fc.weight", "object"]),
    "more than a net": (basic_net() | {"layer1.0.gate": np.ones(3, np.float32)}, ["layer1.0.gate (3,)", "another"]),
    "negative variance": (basic_net() | {"bn1.running_var": np.full(8, -1.0)}, ["bn1.running_var", "negative"]),
    "two classifiers": (basic_net() | linear("linear", 5, 64), ["fc (5 x 64), linear (5 x 64)", "head='linear'"]),
    "blocks of two kinds": (
        basic_net() | conv("layer2.0.conv3", 64, 16, 1, 1),
        ["layer1.0", "BasicBlocks and Bottlenecks"],
    ),
    "projection of the other custom": (basic_net() | conv("layer1.0.shortcut.0", 8, 8, 1, 1), ["shortcut"]),
    "groups that do not divide": (
        bottleneck_net(width=8) | conv("layer1.0.conv2", 8, 3, 3, 3),
        ["layer1.0.conv2.weight", "(8, 3, 3, 3), expected (8, 8, 3, 3)", "groups = 1"],
    ),
    "groups that change": (
        bottleneck_net(width=8, groups=2) | conv("layer2.0.conv2", 16, 4, 3, 3),
        ["layer2.0.conv2.weight", "(16, 4, 3, 3), expected (16, 8, 3, 3)", "groups = 2"],
    ),
    "odd channels for option A": (
        basic_net((1, 1, 1), channels=9, stem=3, projection=None),
        ["layer2.0", "option A", "(N, 9, H, W)", "(N, 18,"],
    ),
    "no projections under a 7x7 stem": (basic_net(projection=None), ["layer2.0.downsample.0.weight is missing"]),
    "another classifier beside the network": (
        prefixed(basic_net(), "model.") | linear("fc", 5, 64),
        ["fc", "64"],
    ),
    "two names of one tensor": (basic_net() | {"layer0.0.weight": np.ones(3), "layer0.1.bias": np.ones(3)}, ["twice"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tensors_are_refused_with_a_message(case):
    tensors, words = BAD[case]
    with pytest.raises(ArchitectureError) as caught:
        arch.build(tensors)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message) < 1000


UNKNOWN = {
    "torchvision's ResNet": ({"conv1.weight": np.ones((8, 3, 7, 7)), "odd.weight": np.ones(3)}, "odd.weight"),
    "timm's pre-activation ResNet": (
        {"stages.0.blocks.0.conv1.weight": np.ones((8, 8, 1, 1)), "trunk.weight": np.ones(3)},
        "trunk.weight",
    ),
}


@pytest.mark.parametrize("nearest", UNKNOWN)
def test_an_unknown_architecture_is_told_its_nearest_family(nearest):
    tensors, first = UNKNOWN[nearest]
    with pytest.raises(ArchitectureError, match=rf"nearest family is {nearest}, and the first name .* is {first}"):
        arch.build(tensors)


def test_a_message_stays_short_whatever_the_file_holds():
    many = {f"layer1.0.{'x' * 1000}{i}": np.ones(1, np.float32) for i in range(5000)}
    with pytest.raises(ArchitectureError) as caught:
        arch.build(basic_net() | many)
    assert len(str(caught.value)) < 2000


def test_block_numbers_out_of_all_bounds():
    with pytest.raises(ArchitectureError):
        arch.build(basic_net() | conv("layer1.999999999999999999.conv1", 8, 8, 3, 3))
    with pytest.raises(ArchitectureError):
        arch.build(basic_net() | conv("layer99999.0.conv1", 8, 8, 3, 3))
    with pytest.raises(ArchitectureError, match=r"layer1\.00\.conv1\.weight"):
        arch.build(basic_net() | conv("layer1.00.conv1", 8, 8, 3, 3))
