"""Options: their values, their origins, and contradictions."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net

RESNET50 = bottleneck_net((3, 4, 6, 3), planes=64, width=64)
RESNEXT50 = bottleneck_net((3, 4, 6, 3), planes=64, width=128, groups=32)
RESNET18 = basic_net((2, 2, 2, 2))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("stride_on", "1x1"),
        ("bn_eps", 1e-3),
        ("replace_stride_with_dilation", [False, True, True]),
        ("stem_stride", 1),
        ("max_pool", False),
    ],
)
def test_options_that_keys_do_not_determine_are_used_with_their_origin(option, value):
    _, config = arch.build(RESNET50, options={option: value})
    assert (config[option].value, config[option].origin) == (value, "caller")
    _, config = arch.build(RESNET50, options={option: value}, origins={option: "file"})
    assert config[option].origin == "file"
    _, config = arch.build(RESNET50, options={option: None})
    assert config[option].origin == "default"


def test_options_reach_the_network():
    network, _ = arch.build(RESNET50, options={"stride_on": "1x1", "bn_eps": 1e-3, "stem_stride": 1, "max_pool": False})
    assert network["layer2.0.conv1"].window.stride == (2, 2)
    assert network["layer2.0.conv2"].window.stride == (1, 1)
    assert network["layer3.1.bn2"].attrs["eps"] == 1e-3
    assert network["conv1"].window.stride == (1, 1)
    assert "maxpool" not in [node.name for node in network]


def test_torchvision_s_rule_of_dilation():
    """The first block of a dilated stage has the previous stage's dilation; none of its blocks strides."""
    network, _ = arch.build(RESNET50, options={"replace_stride_with_dilation": (False, True, True)})
    found = {
        name: network[f"{name}.conv2"].window.dilation[0]
        for name in ("layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1", "layer4.2")
    }
    assert found == {"layer2.1": 1, "layer3.0": 1, "layer3.1": 2, "layer4.0": 2, "layer4.1": 4, "layer4.2": 4}
    assert network["layer4.1.conv2"].window.padding == (4, 4)
    assert network["layer3.0.conv2"].window.stride == network["layer3.0.downsample.0"].window.stride == (1, 1)
    assert network["layer2.0.conv2"].window.stride == (2, 2)


@pytest.mark.parametrize(
    ("option", "right", "wrong"),
    [
        ("num_classes", 5, 1000),
        ("in_channels", 3, 1),
        ("groups", 32, 1),
        ("width_per_group", 4, 8),
        ("layers", [3, 4, 6, 3], [3, 4, 23, 3]),
        ("block", "Bottleneck", "BasicBlock"),
        ("shortcut", "B", "A"),
        ("family", "torchvision", "cifar"),
    ],
)
def test_options_that_keys_determine_must_agree(option, right, wrong):
    _, config = arch.build(RESNEXT50, options={option: right})
    assert (config[option].value, config[option].origin) == (right, "caller")
    with pytest.raises(ArchitectureError) as caught:
        arch.build(RESNEXT50, options={option: wrong})
    assert option in str(caught.value)
    assert repr(wrong) in str(caught.value)
    assert repr(right) in str(caught.value)
    with pytest.raises(ArchitectureError, match="metadata"):
        arch.build(RESNEXT50, options={option: wrong}, origins={option: "file"})


@pytest.mark.parametrize(
    "options",
    [
        {"norm_layer": "GroupNorm"},
        {"weights": None, "progress": True},
        {"stride_on": "2x2"},
        {"stride_on": 1},
        {"bn_eps": -1e-5},
        {"bn_eps": float("nan")},
        {"bn_eps": float("inf")},
        {"bn_eps": "1e-5"},
        {"bn_eps": True},
        {"replace_stride_with_dilation": [True]},
        {"replace_stride_with_dilation": [1, 1, 1]},
        {"replace_stride_with_dilation": "no"},
        {"replace_stride_with_dilation": True},
        {"max_pool": 1},
        {"stem_stride": 3},
        {"stem_stride": True},
        {"num_classes": True},
        {"num_classes": 0},
        {"num_classes": "5"},
        {"layers": []},
        {"layers": [3, "4", 6, 3]},
        {"block": "SEBottleneck"},
        {"groups": 1.0},
        {"family": ["x"]},
        {"stem_stride": [1]},
        {"block": {}},
        {7: 1},
        {"zero_init_residual": "yes"},
    ],
    ids=str,
)
def test_options_of_the_wrong_kind_are_refused(options):
    name = str(next(iter(options)))
    with pytest.raises(ArchitectureError) as caught:
        arch.build(RESNET50, options=options)
    assert name in str(caught.value) or "progress" in str(caught.value)


@pytest.mark.parametrize("options", [{"layers": [3] * 10_000}, {"replace_stride_with_dilation": [True] * 10_000}])
def test_a_long_option_does_not_fill_the_screen(options):
    with pytest.raises(ArchitectureError) as caught:
        arch.build(RESNET50, options=options)
    assert len(str(caught.value)) < 400


def test_an_unknown_option_gets_the_list():
    with pytest.raises(ArchitectureError, match="replace_stride_with_dilation"):
        arch.build(RESNET50, options={"dilation": 2})


def test_options_of_bottlenecks_with_basic_blocks():
    with pytest.raises(ArchitectureError, match="BasicBlock"):
        arch.build(RESNET18, options={"stride_on": "1x1"})


@pytest.mark.parametrize("options", [{"output_stride": 16}, {"replace_stride_with_dilation": [False, False, True]}])
def test_basic_blocks_dilate_as_timm_s_do(options):
    """The first convolution of a stage has the dilation of the stage before."""
    network, config = arch.build(RESNET18, options=options)
    windows = [network[f"layer4.{name}"].window for name in ("0.conv1", "0.conv2", "1.conv1", "1.conv2")]
    assert [window.dilation for window in windows] == [(1, 1), (2, 2), (2, 2), (2, 2)]
    assert {window.stride for window in windows} == {(1, 1)}
    assert (config["output_stride"].value, config["output_stride"].origin) == (16, "caller")
    assert config["replace_stride_with_dilation"].value == [False, False, True]


def test_options_of_no_effect():
    _, config = arch.build(
        RESNET18,
        options={
            "replace_stride_with_dilation": [False] * 3,
            "zero_init_residual": True,
            "groups": np.int64(1),
            "width_per_group": 64,
        },
    )
    assert "zero_init_residual" not in config
    assert type(config["groups"].value) is int


def test_decisions_of_one_build_are_options_of_the_next():
    """The decisions stored in our files are accepted as options."""
    for tensors, options in (
        (RESNEXT50, {"stride_on": "1x1"}),
        (RESNET18, {"bn_eps": 1e-3}),
        (basic_net((2, 2, 2), stem=3, projection=None), {"max_pool": True}),
    ):
        _, first = arch.build(tensors, options=options)
        said = {name: decision.value for name, decision in first.items() if name in arch.OPTIONS}
        origins = {**dict.fromkeys(said, "file"), "arch": "file"}
        _, second = arch.build(tensors, arch=first.value("arch"), options=said, origins=origins)
        assert {name: d.value for name, d in second.items()} == {name: d.value for name, d in first.items()}
        assert {second[name].origin for name in (*said, "arch")} == {"file"}


@pytest.mark.parametrize(
    "options", [{"bn_eps": 10**400}, {"groups": 10**5000}, {"num_classes": 10**5000}, {"layers": [10**5000]}], ids=list
)
def test_numbers_beyond_all_bounds_are_refused(options):
    """Python neither makes a float of them nor prints them."""
    tensors = arch.random_tensors("resnet18", num_classes=3)
    with pytest.raises(ArchitectureError, match=f"option {next(iter(options))} must be"):
        arch.build(tensors, options=options)
