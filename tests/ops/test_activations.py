"""Activations: the specification against PyTorch in float64, and the properties declared in the records."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS
from npresnet.window import Window
from tests.support import torch_run

SPREAD = np.concatenate([np.linspace(-9, 9, 721), [-1e30, -88.8, -1e-30, -0.0, 0.0, 1e-30, 88.8, 1e30]])


def alone(name: str, **attrs: float) -> Network:
    return Network((Node("y", name, (INPUT,), attrs=attrs),), {"y": "y"})


def test_every_activation_is_an_operation_of_its_own():
    assert set(ACTIVATIONS) < set(OPERATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equals_pytorch_in_float64(name):
    x = SPREAD.reshape(1, 3, 3, -1)
    got, expected = ops.run(alone(name), x)["y"], torch_run.run(alone(name), x)["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15)


def test_the_slope_is_an_attribute():
    x = SPREAD.reshape(1, 3, 3, -1)
    for slope in (0.0, 0.2, 1.5):
        network = alone("leaky_relu", negative_slope=slope)
        np.testing.assert_array_equal(ops.run(network, x)["y"], torch_run.run(network, x)["y"])
        assert ops.run(network, x)["y"].min() == pytest.approx(-1e30 * slope)


@pytest.mark.parametrize("name", ["elu", "celu"])
def test_alpha_is_an_attribute(name):
    x = SPREAD.reshape(1, 3, 3, -1)
    for alpha in (0.3, 1.0, 2.5):
        network = alone(name, alpha=alpha)
        got = ops.run(network, x)["y"]
        np.testing.assert_allclose(got, torch_run.run(network, x)["y"], rtol=1e-14, atol=1e-15)
        assert got.min() == pytest.approx(-alpha)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_shape_and_nan_are_kept(name, dtype):
    x = np.array([[np.nan, -1, 2], [0, np.nan, -3]], dtype)
    y = ACTIVATIONS[name].function(x, {})
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize("name", [name for name, activation in ACTIVATIONS.items() if activation.is_monotone])
def test_monotone_activations_are_monotone_including_rounding(name):
    steps = np.nextafter(np.linspace(-8, 8, 20001, dtype=np.float32), np.float32(9))
    x = np.sort(np.concatenate([steps, np.linspace(-8, 8, 20001, dtype=np.float32)]))
    assert (np.diff(ACTIVATIONS[name].function(x, {})) >= 0).all()


def test_an_unknown_activation_is_named():
    network = Network((Node("y", "flatten", (INPUT,), activation="swish9"),), {"y": "y"})
    with pytest.raises(ArchitectureError, match=r"y: unknown activation 'swish9'; supported are relu, relu6"):
        ops.run(network, np.zeros((1, 1, 2, 2)))


def test_a_fused_pool_carries_only_monotone_activations():
    def node(activation: str) -> Node:
        params, attrs = {"weight": np.zeros((2, 1, 3, 3))}, {"pool": Window.of(2), "ceil_mode": False}
        return Node("c", "conv2d_max_pool2d", (INPUT,), Window.of(3), 1, attrs, params, activation)

    x = np.zeros((1, 1, 8, 8))
    assert ops.run(Network((node("relu6"),), {"y": "c"}), x)["y"].shape == (1, 2, 5, 5)
    with pytest.raises(ArchitectureError, match="c: a conv2d_max_pool2d cannot carry the activation 'gelu'"):
        ops.run(Network((node("gelu"),), {"y": "c"}), x)


def test_a_wrong_number_of_inputs_is_refused():
    x = np.zeros((1, 1, 2, 2))
    with pytest.raises(ArchitectureError, match="y: a add expects 2 inputs, got 1"):
        ops.run(Network((Node("y", "add", (INPUT,)),), {"y": "y"}), x)
    with pytest.raises(ArchitectureError, match="y: a conv2d expects 1 to 2 inputs, got 3"):
        ops.run(Network((Node("y", "conv2d", (INPUT,) * 3, Window.of(1)),), {"y": "y"}), x)
    with pytest.raises(ShapeError):
        ops.run(Network((Node("y", "global_avg_pool", (INPUT,)),), {"y": "y"}), np.zeros((1, 1, 2)))
