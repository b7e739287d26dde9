"""`arch.build`: what is recognised, the resulting nodes and windows, and the decisions."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.network import INPUT
from tests.arch.fabric import basic_net, bottleneck_net


def values(config, *names):
    return tuple(config.value(name) for name in names)


def test_nodes_of_a_basic_block_are_in_torchvision_s_order():
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


def test_decisions_are_in_order_with_their_origins():
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
        "output_stride",
        "last_stride",
        "shortcut",
        "downsample",
        "stem",
        "stem_stride",
        "max_pool",
        "antialias",
        "attention",
        "activation",
        "norm",
        "bn_eps",
        "global_pool",
        "scores",
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
    """Of a network whose stem and size are settled by custom."""
    _, config = arch.build(basic_net((1, 1, 1), stem=stem, classes=classes))
    assert config["labels"].value == labels
    assert config["preprocess"].value == ("V1" if stem == 7 else "cifar10")


@pytest.mark.parametrize(
    ("classes", "size"), [(10, "cifar10"), (100, "cifar10"), (200, {"resize": 64, "crop": 64}), (5, "V1")]
)
def test_a_small_stem_alone_does_not_tell_the_images_size(classes, size):
    _, config = arch.build(basic_net((1, 1, 1, 1), stem=3, classes=classes))
    assert (config["preprocess"].value, config["preprocess"].certainty) == (size, "ambiguous")
    assert config["labels"].value is None
    assert set(config.ambiguous()) == {"stem_stride", "max_pool", "preprocess"}


def test_no_preset_for_other_than_three_channels():
    _, config = arch.build(basic_net(in_channels=1, classes=1000))
    assert values(config, "in_channels", "preprocess", "labels") == (1, None, None)
    assert config["preprocess"].note


def test_counters_of_any_shape_or_none_are_ignored():
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


def test_nan_in_weights_is_noted():
    tensors = basic_net((1,))
    tensors["layer1.0.bn2.running_mean"][3] = np.nan
    _, config = arch.build(tensors)
    assert "layer1.0.bn2.running_mean" in config["non_finite"].value
    assert "non_finite" not in arch.build(basic_net((1,)))[1]
