"""The families: how they are distinguished, and what they assume."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import FAMILIES
from npresnet.arch.tensors import Tensors
from tests.arch.fabric import basic_net, bottleneck_net, without


def decided(tensors, *names, **options):
    _, config = arch.build(tensors, options=options)
    return tuple(config.value(name) for name in names)


FAMILY = ("family", "shortcut", "stem_stride", "max_pool")


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (basic_net(), ("torchvision", "B", 2, True)),
        (basic_net(projection="shortcut"), ("handwritten", "B", 2, True)),
        (basic_net(projection="shortcut", head="linear"), ("handwritten", "B", 2, True)),
        (basic_net(stem=3), ("cifar", "B", 1, False)),
        (basic_net(stem=3, projection="shortcut"), ("cifar", "B", 1, False)),
        (basic_net((1, 1, 1), stem=3, projection=None), ("cifar", "A", 1, False)),
        (basic_net((1,)), ("torchvision", "B", 2, True)),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else "",
)
def test_family(tensors, expected):
    assert decided(tensors, *FAMILY) == expected


def test_every_family_has_a_distinct_name():
    names = [family.NAME for family in FAMILIES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("stem", [1, 3, 5, 7])
@pytest.mark.parametrize("projection", ["downsample", "shortcut"])
def test_signatures_exclude_each_other(stem, projection):
    """So that the order of FAMILIES does not matter."""
    for make in (basic_net, bottleneck_net):
        tensors = make(projection=projection) | {"conv1.weight": np.ones((8, 3, stem, stem), np.float32)}
        assert [family.NAME for family in FAMILIES if family.signature(Tensors(tensors))] == [
            "cifar" if stem == 3 else "handwritten" if projection == "shortcut" else "torchvision"
        ]


def test_signatures_raise_nothing():
    """They are called with the tensors of any file."""
    odd = ({}, {"conv1.weight": np.ones(3)}, {"layer1.0.conv1.weight": np.array(None)}, without(basic_net(), "conv1."))
    found = [[family.NAME for family in FAMILIES if family.signature(Tensors(tensors))] for tensors in odd]
    assert found == [[], [], ["torchvision"], ["torchvision"]]


def test_stride_of_bottlenecks():
    assert decided(bottleneck_net(), "stride_on") == ("3x3",)
    assert decided(bottleneck_net(projection="shortcut"), "stride_on") == ("1x1",)
    assert decided(bottleneck_net(projection="shortcut"), "stride_on", stride_on="3x3") == ("3x3",)
    _, config = arch.build(bottleneck_net(projection="shortcut"))
    assert (config["stride_on"].origin, config["stride_on"].certainty) == ("default", "ambiguous")
    assert config["stride_on"].alternatives == ("stride_on='3x3'",)
    assert "stride_on" not in arch.build(basic_net())[1]


def test_hand_written_bottlenecks_stride_on_the_first_convolution():
    network, _ = arch.build(bottleneck_net(projection="shortcut"))
    assert network["layer2.0.conv1"].window.stride == (2, 2)
    assert network["layer2.0.conv2"].window.stride == (1, 1)
    assert network["layer2.0.shortcut.0"].window.stride == (2, 2)
    assert network["layer1.0.conv1"].window.stride == (1, 1)


def test_option_a_pads_a_quarter_on_either_side():
    network, _ = arch.build(basic_net((1, 2, 1), channels=16, stem=3, projection=None))
    shortcut = network["layer2.0.shortcut"]
    assert (shortcut.op, shortcut.inputs) == ("shortcut_a", ("layer1.0.relu.2",))
    assert dict(shortcut.attrs) == {"stride": 2, "pad_channels": (8, 8)}
    assert network["layer2.0.add"].inputs == ("layer2.0.bn2", "layer2.0.shortcut")
    assert network["layer2.1.add"].inputs == ("layer2.1.bn2", "layer2.0.relu.2")


def test_an_unusual_stem_needs_options():
    tensors = basic_net(stem=5)
    assert decided(tensors, *FAMILY, stem_stride=2, max_pool=False) == ("torchvision", "B", 2, False)
    network, _ = arch.build(tensors, options={"stem_stride": 2, "max_pool": False})
    assert network["conv1"].window.padding == (2, 2)
