"""Depthwise convolutions, blurred strides and normalisations by the image through the whole GPU backend, emulated."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops, passes
from npresnet.cuda.elements import ELEMENTS
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.cuda.running import compiled
from tests.emulator import emulator
from tests.support.cases import integers

pytestmark = emulator.needed

BLUR = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32)  # a multiple of 1/16, so that sums are whole numbers


def blurred(channels: int) -> tuple[Node, ...]:
    """A blur pool: the image reflected, then a depthwise convolution of stride 2."""
    weight = np.tile(BLUR, (channels, 1, 1, 1))
    return (
        Node("pad", "pad2d", (INPUT,), attrs={"padding": (1, 1, 1, 1), "mode": "reflect"}),
        Node("blur", "conv2d", ("pad",), Window.of(3, 2), channels, params={"weight": weight}),
    )


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("channels", [3, 8, 20])
def test_a_blur_pool_is_exact(gpus, element, channels):
    gpus()
    network = Network(blurred(channels), {"y": "blur"})
    x = integers(np.random.default_rng(channels), (2, channels, 9, 6), most=3)
    np.testing.assert_array_equal(compiled(network, element)(x)["y"], ops.run(network, x)["y"])


@pytest.mark.parametrize("window", [Window.of(3, 1, 1), Window.of(5, 2, 2), Window.of(3, 1, 2, 2)], ids=str)
def test_depthwise_layers_with_all_that_may_follow(gpus, window):
    gpus()
    rng = np.random.default_rng(3)
    weight = integers(rng, (16, 1, *window.kernel_size), most=2)
    norm = {"running_mean": np.zeros(16), "running_var": np.full(16, 4.0), "weight": np.full(16, 2.0)}
    nodes = (
        Node("deep", "conv2d", (INPUT,), window, 16, params={"weight": weight, "bias": integers(rng, (16,))}),
        Node("norm", "batch_norm", ("deep",), attrs={"eps": 0.0}, params=norm),
        Node("sum", "add", ("norm", "norm" if max(window.stride) > 1 else INPUT)),
        Node("y", "relu", ("sum",)),
    )
    network = Network(nodes, {"y": "y"})
    x = integers(rng, (2, 16, 7, 8), most=3)
    expected = ops.run(network, x)["y"]
    np.testing.assert_array_equal(compiled(passes.optimize(network))(x)["y"], expected)


def test_a_network_of_blurs_and_norms(gpus):
    gpus()
    rng = np.random.default_rng(5)

    def vectors(*roles: str) -> dict[str, np.ndarray]:
        return {role: rng.normal(1, 0.3, 8).astype(np.float32) for role in roles}

    filters = {name: rng.normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32) for name in ("one", "two")}
    nodes = (
        *blurred(8),
        Node("one", "conv2d", ("blur",), Window.of(3, 1, 1), params={"weight": filters["one"] / 16}),
        Node("groups", "group_norm", ("one",), attrs={"groups": 4, "eps": 1e-5}, params=vectors("weight", "bias")),
        Node("slopes", "prelu", ("groups",), params={"weight": np.linspace(0, 0.5, 8, dtype=np.float32)}),
        Node("two", "conv2d", ("slopes",), Window.of(3, 1, 1), params={"weight": filters["two"]}),
        Node("frn", "filter_response_norm", ("two",), attrs={"eps": 1e-5}, params=vectors("weight", "bias", "tau")),
        Node("evo", "evo_norm_s0", ("frn",), attrs={"groups": 2, "eps": 1e-5}, params=vectors("weight", "bias", "v")),
        Node("layer", "layer_norm2d", ("evo",), attrs={"eps": 1e-5}, params=vectors("weight", "bias")),
        Node("mish", "mish", ("layer",)),
        Node("pool", "global_avg_pool", ("mish",)),
        Node("instance", "group_norm", ("pool",), attrs={"groups": 1, "eps": 1e-5}, params=vectors("weight", "bias")),
        Node("flat", "flatten", ("instance",)),
    )
    network = Network(nodes, {"y": "flat"})
    x = rng.normal(0.3, 1, (2, 8, 12, 10)).astype(np.float32)
    expected = ops.run(network, x.astype(np.float64))["y"]
    got = compiled(passes.optimize(network))(x)["y"]
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)
