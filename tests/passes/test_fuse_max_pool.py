"""A max pool is fused into the convolution before it if that is a stem and its value is single-use."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fuse_max_pool, optimize
from npresnet.plan import count_macs, infer_shapes
from npresnet.window import Window
from tests.support.checks import assert_same
from tests.support.exact_norms import exact_network
from tests.support.random_networks import random_network

OUT = {"y": "maxpool"}
STEM, POOL = Window.of(7, 2, 3), Window.of(3, 2, 1)  # a ResNet's


def conv(*inputs: str, channels: int = 3, window: Window = STEM, groups: int = 1, **fields) -> Node:
    weight = np.random.default_rng(0).integers(-2, 3, (6, channels // groups, *window.kernel_size))
    params = {"weight": weight.astype(np.float32)}
    return Node("conv1", "conv2d", inputs or (INPUT,), window, groups, params=params, **fields)


def pool(window: Window = POOL, **fields) -> Node:
    return Node("maxpool", "max_pool2d", ("conv1",), window, **fields)


SHORTCUT = conv().evolve(name="shortcut")


def image(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(-4, 5, (2, channels, 17, 15)).astype(np.float64)


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "hard_sigmoid"])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_convolution_and_pool_become_one_node(activation, ceil_mode):
    network = Network((conv(activation=activation), pool(attrs={"ceil_mode": ceil_mode})), OUT)
    fused = fuse_max_pool(network)
    assert [(node.name, node.op, node.activation) for node in fused] == [("conv1", "conv2d_max_pool2d", activation)]
    assert_same(ops.run(fused, image())["y"], ops.run(network, image())["y"])


def test_shapes_and_multiply_adds_are_unchanged():
    network = Network((conv(), pool()), OUT)
    fused = fuse_max_pool(network)
    before, after = infer_shapes(network, (3, 33, 35)), infer_shapes(fused, (3, 33, 35))
    assert after["conv1"] == before["maxpool"]
    assert count_macs(fused["conv1"], after) == count_macs(network["conv1"], before) > 0


def test_random_networks(subtests):
    for seed in range(60):
        with subtests.test(seed=seed):
            network, size = random_network(seed)
            x = np.random.default_rng(seed).integers(-4, 5, (2, *size)).astype(np.float64)
            got, expected = ops.run(fuse_max_pool(optimize(network)), x), ops.run(network, x)
            assert list(got) == list(expected)
            for name, array in expected.items():
                assert_same(got[name], array, name)


def test_a_resnets_stem():
    assert [node.op for node in fuse_max_pool(optimize(exact_network("resnet18", num_classes=3)))][:2] == [
        "conv2d_max_pool2d",
        "conv2d",
    ]


@pytest.mark.parametrize("module", ["conv1", "bn1", "relu"])
def test_a_stem_that_is_an_output_is_not_fused(module):
    network = exact_network("resnet18", num_classes=3).with_outputs([module, "layer1"])
    assert "conv2d_max_pool2d" not in {node.op for node in fuse_max_pool(optimize(network))}


@pytest.mark.parametrize(
    ("nodes", "outputs", "channels"),
    [
        ((conv(), pool()), {**OUT, "before": "conv1"}, 3),
        ((conv(), pool(), Node("also", "relu", ("conv1",))), {**OUT, "z": "also"}, 3),
        ((conv(channels=5), pool()), OUT, 5),
        ((conv(groups=3), pool()), OUT, 3),
        ((conv(window=Window.of(3, 1, 2, 2)), pool()), OUT, 3),
        ((conv(), pool(Window.of(2, 1, 1, 2))), OUT, 3),
        ((SHORTCUT, conv(INPUT, "shortcut"), pool()), OUT, 3),
        ((conv(), pool().evolve(op="avg_pool2d")), OUT, 3),
        ((pool().evolve(inputs=(INPUT,)),), OUT, 3),
    ],
    ids=[
        "an output", "read twice", "many channels", "groups", "dilated", "dilated pool", "residual", "average",
        "of the image",
    ],
)  # fmt: skip
def test_other_networks_are_unchanged(nodes, outputs, channels):
    network = Network(nodes, outputs)
    fused = fuse_max_pool(network)
    assert [node.op for node in fused] == [node.op for node in network]
    for name, array in ops.run(network, image(channels)).items():
        assert_same(ops.run(fused, image(channels))[name], array)
