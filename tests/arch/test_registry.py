"""`arch.build`: what is recognised, what is written down, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from tests.arch.fabric import basic_net, bottleneck_net, conv, linear, norm, prefixed, without


def values(config, *names):
    return tuple(config.value(name) for name in names)


def test_nodes_of_a_basic_block_stand_in_torchvision_s_order():
    network, _ = arch.build(basic_net((1, 1)))
    assert [node.name for node in network] == [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        "layer1.0.conv1",
        "layer1.0.bn1",
        "layer1.0.relu.1",
        "layer1.0.conv2",
        "layer1.0.bn2",
        "layer1.0.add",
        "layer1.0.relu.2",
        "layer2.0.conv1",
        "layer2.0.bn1",
        "layer2.0.relu.1",
        "layer2.0.conv2",
        "layer2.0.bn2",
        "layer2.0.downsample.0",
        "layer2.0.downsample.1",
        "layer2.0.add",
        "layer2.0.relu.2",
        "avgpool",
        "flatten",
        "fc",
    ]
    assert dict(network.outputs) == {"logits": "fc"}
    assert network["layer2.0.add"].inputs == ("layer2.0.bn2", "layer2.0.downsample.1")
    assert network["layer1.0.add"].inputs == ("layer1.0.bn2", "maxpool")
    assert network["conv1"].inputs == (INPUT,)


def test_nodes_of_a_bottleneck():
    network, _ = arch.build(bottleneck_net((2,)))
    names = [node.name.removeprefix("layer1.") for node in network if node.name.startswith("layer1.")]
    assert names == [
        "0.conv1",
        "0.bn1",
        "0.relu.1",
        "0.conv2",
        "0.bn2",
        "0.relu.2",
        "0.conv3",
        "0.bn3",
        "0.downsample.0",
        "0.downsample.1",
        "0.add",
        "0.relu.3",
        "1.conv1",
        "1.bn1",
        "1.relu.1",
        "1.conv2",
        "1.bn2",
        "1.relu.2",
        "1.conv3",
        "1.bn3",
        "1.add",
        "1.relu.3",
    ]


@pytest.mark.parametrize(
    ("tensors", "block"), [(basic_net(), "BasicBlock"), (bottleneck_net(), "Bottleneck")], ids=["basic", "bottleneck"]
)
def test_the_last_node_of_each_block_says_so(tensors, block):
    network, _ = arch.build(tensors)
    last = "2" if block == "BasicBlock" else "3"
    marked = {node.name: node.attrs["block"] for node in network if "block" in node.attrs}
    assert marked == {f"layer{i}.0.relu.{last}": block for i in (1, 2, 3, 4)}


def test_params_are_the_file_s_own_arrays():
    tensors = {name: a.astype(np.float64) if a.ndim else a for name, a in basic_net((1,)).items()}
    network, _ = arch.build(tensors)
    assert network["conv1"].params["weight"] is tensors["conv1.weight"]
    assert network["bn1"].params["running_var"] is tensors["bn1.running_var"]
    assert dict(network["bn1"].attrs) == {"eps": 1e-5}


def test_windows_of_torchvision_s_defaults():
    network, _ = arch.build(bottleneck_net())

    def window(name):
        w = network[name].window
        return w.kernel_size[0], w.stride[0], w.padding[0], w.dilation[0]

    assert window("conv1") == (7, 2, 3, 1)
    assert window("maxpool") == (3, 2, 1, 1)
    assert window("layer1.0.conv2") == (3, 1, 1, 1)
    assert window("layer2.0.conv1") == (1, 1, 0, 1)
    assert window("layer2.0.conv2") == (3, 2, 1, 1)
    assert window("layer2.0.downsample.0") == (1, 2, 0, 1)


def test_decisions_stand_in_order_with_their_origins():
    _, config = arch.build(bottleneck_net((3, 4, 6, 3), planes=64, width=64))
    assert list(config) == [
        "arch",
        "family",
        "block",
        "layers",
        "num_classes",
        "in_channels",
        "groups",
        "width_per_group",
        "stride_on",
        "replace_stride_with_dilation",
        "shortcut",
        "stem_stride",
        "max_pool",
        "bn_eps",
        "preprocess",
        "labels",
    ]
    assert values(config, "arch", "layers", "num_classes", "groups", "width_per_group") == (
        "resnet50",
        [3, 4, 6, 3],
        5,
        1,
        64,
    )
    origins = {name: decision.origin for name, decision in config.items()}
    assert origins["arch"] == origins["layers"] == origins["num_classes"] == "inferred"
    assert origins["stride_on"] == origins["bn_eps"] == origins["preprocess"] == "default"


@pytest.mark.parametrize(
    ("tensors", "name"),
    [
        (bottleneck_net((3, 4, 6, 3), planes=64, width=128, groups=32), "resnext50_32x4d"),
        (bottleneck_net((3, 4, 23, 3), planes=64, width=256, groups=32), "resnext101_32x8d"),
        (bottleneck_net((3, 4, 23, 3), planes=64, width=256, groups=64), "resnext101_64x4d"),
        (bottleneck_net((3, 4, 6, 3), planes=64, width=128), "wide_resnet50_2"),
        (bottleneck_net((3, 4, 6, 3), planes=64, width=64, groups=32), "resnet"),
        (basic_net((2, 2, 2, 2), channels=64), "resnet18"),
        (basic_net((3, 4, 6, 3)), "resnet34"),
        (basic_net((3, 3, 3), channels=16, stem=3, projection=None, head="linear"), "cifar_resnet20"),
        (basic_net((3, 4, 3), channels=16, stem=3, projection=None, head="linear"), "cifar_resnet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "net",
)
def test_names_follow_from_depth_groups_and_widths(tensors, name):
    _, config = arch.build(tensors)
    assert config.value("arch") == name


@pytest.mark.parametrize(
    ("classes", "stem", "labels"),
    [(1000, 7, "imagenet"), (2, 7, None), (10, 3, "cifar10"), (10, 7, None), (1000, 3, None)],
)
def test_labels_are_suggested_by_the_number_of_classes(classes, stem, labels):
    _, config = arch.build(basic_net(stem=stem, classes=classes))
    assert config["labels"].value == labels
    assert config["preprocess"].value == ("V1" if stem == 7 else "cifar10")


def test_no_preset_for_other_than_three_channels():
    _, config = arch.build(basic_net(in_channels=1, classes=1000))
    assert values(config, "in_channels", "preprocess", "labels") == (1, None, None)
    assert config["preprocess"].note


def test_counters_of_any_shape_or_none_are_of_no_account():
    tensors = basic_net((1,))
    tensors["bn1.num_batches_tracked"] = np.array([3])
    del tensors["layer1.0.bn1.num_batches_tracked"]
    network, _ = arch.build(tensors)
    assert "running_mean" in network["bn1"].params


def test_biases_of_convolutions_are_taken():
    tensors = basic_net((1,)) | {"layer1.0.conv1.bias": np.ones(8, np.float32)}
    network, _ = arch.build(tensors)
    assert network["layer1.0.conv1"].params["bias"].shape == (8,)


def test_float16_passes_unchanged():
    tensors = {name: a.astype(np.float16) if a.ndim else a for name, a in basic_net((1,)).items()}
    network, _ = arch.build(tensors)
    assert network["conv1"].params["weight"].dtype == np.float16


def test_weights_that_are_no_numbers_are_noted():
    tensors = basic_net((1,))
    tensors["layer1.0.bn2.running_mean"][3] = np.nan
    _, config = arch.build(tensors)
    assert "layer1.0.bn2.running_mean" in config["non_finite"].value
    assert "non_finite" not in arch.build(basic_net((1,)))[1]


BAD = {
    "empty": ({}, ["no ResNet", "none at all"]),
    "other names": ({"a.weight": np.ones(3, np.float32)}, ["no ResNet", "a.weight"]),
    "names that are no text": ({3: np.ones(3, np.float32)}, ["called 3"]),
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
        ["layer2.0.conv2 expects 5 input channels, got 16", "(16, 5, 3, 3)", "(N, 16, H, W)"],
    ),
    "stem of another width": (basic_net() | conv("conv1", 9, 3, 7, 7), ["bn1.weight", "(8,)", "conv1", "9 channels"]),
    "norm of another width": (basic_net() | norm("layer1.0.bn2", 4), ["layer1.0.bn2.weight", "(4,)", "8 channels"]),
    "projection of another width": (
        basic_net() | conv("layer2.0.downsample.0", 12, 8, 1, 1) | norm("layer2.0.downsample.1", 12),
        ["layer2.0.add", "(N, 16, H, W)", "(N, 12, H, W)"],
    ),
    "classifier of another net": (basic_net() | linear("fc", 5, 512), ["fc expects 512", "got 64", "(5, 512)"]),
    "bias of another length": (basic_net() | {"fc.bias": np.ones(4, np.float32)}, ["fc.bias", "(4,)", "5"]),
    "conv of another kernel": (basic_net() | conv("layer1.0.conv1", 8, 8, 1, 1), ["layer1.0.conv1", "3x3"]),
    "projection of 3x3": (basic_net() | conv("layer2.0.downsample.0", 16, 8, 3, 3), ["downsample.0", "1x1"]),
    "stem with an even side": (basic_net(stem=4), ["conv1.weight", "(8, 3, 4, 4)", "odd side"]),
    "oblong stem": (basic_net() | conv("conv1", 8, 3, 7, 3), ["conv1.weight", "(8, 3, 7, 3)"]),
    "stem of a size nobody uses": (basic_net(stem=5), ["stem_stride", "5x5", "max_pool"]),
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
    "two classifiers": (basic_net() | linear("linear", 5, 64), ["linear.weight (5, 64)"]),
    "blocks of two kinds": (basic_net() | conv("layer2.0.conv3", 64, 16, 1, 1), ["layer1.0.conv3.weight"]),
    "projection of the other custom": (basic_net() | conv("layer1.0.shortcut.0", 8, 8, 1, 1), ["shortcut"]),
    "groups that do not divide": (
        bottleneck_net(width=8) | conv("layer1.0.conv2", 8, 3, 3, 3),
        ["groups", "(8, 3, 3, 3)"],
    ),
    "groups that change": (
        bottleneck_net(width=8, groups=2) | conv("layer2.0.conv2", 16, 4, 3, 3),
        ["layer2.0.conv2 expects 8 input channels, got 16", "groups = 2"],
    ),
    "odd channels for option A": (
        basic_net((1, 1, 1), channels=9, stem=3, projection=None),
        ["layer2.0", "option A", "(N, 9, H, W)", "(N, 18,"],
    ),
    "no projections under a 7x7 stem": (basic_net(projection=None), ["layer2.0.downsample.0.weight is missing"]),
    "a tensor twice": (prefixed(basic_net(), "model.") | linear("fc", 5, 64), ["stand twice", "model."]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tensors_are_refused_in_words(case):
    tensors, words = BAD[case]
    with pytest.raises(ArchitectureError) as caught:
        arch.build(tensors)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message) < 1000


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
