"""Winograd's rounding error on the CPU, as a multiple of the direct sum's."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import arch, ops, passes, weights
from npresnet.network import INPUT, Network
from tests.support.float_error import rms_error
from tests.support.forcing import direct, forced, winograd
from tests.support.one_node import execute_on_cpu
from tests.support.winograd_layers import (
    STRIDES,
    TILES,
)

ERROR_FACTORS = {  # by stride, then tile, over the direct sum's error; measured 1 and 4 to 6, with stride 2 about 1
    1: {2: 1.5, 4: 7.0},
    2: {2: 1.2, 4: 1.5},
}


def layer_errors(
    network: Network, x: np.ndarray, tiles: tuple[int, ...] = TILES, stride: int = 1
) -> dict[int, list[float]]:
    """For each 3x3 layer and tile its RMS error over the direct sum's, on the layer's real input."""
    network = passes.optimize(network)
    readers = [node for node in network if node.window and node.op == "conv2d" and node.window.kernel_size == (3, 3)]
    readers = [node for node in readers if node.window.stride == (stride, stride)]
    values = ops.run(Network(network.nodes, {node.name: node.inputs[0] for node in readers}), x)
    found: dict[int, list[float]] = {tile: [] for tile in tiles}
    for node in readers:
        params = {role: np.array(array) for role, array in node.params.items()}
        layer = Network((node.evolve(inputs=(INPUT,), activation=None, params=params),), {"y": node.name})
        exact = ops.run(layer, values[node.name].astype(np.float64))["y"]
        errors = {}
        for choice in (direct("gemm"), *map(winograd, tiles)):
            with forced(choice):
                errors[choice.tile] = rms_error(execute_on_cpu(layer, values[node.name])["y"], exact)
        for tile in tiles:
            found[tile].append(errors[tile] / errors[0])
    return found


def assert_small_error(found: dict[int, list[float]], stride: int = 1) -> None:
    for tile, factors in found.items():
        most = ERROR_FACTORS[stride][tile]
        assert factors
        assert np.median(factors) <= most, (tile, factors)
        assert max(factors) <= 2 * most, (tile, factors)


@pytest.mark.parametrize("stride", STRIDES)
def test_a_layer_s_error_on_random_weights(stride):
    network, _ = arch.build(arch.random_tensors("resnet18"))
    x = np.random.default_rng(0).standard_normal((2, 3, 96, 96), np.float32)
    assert_small_error(layer_errors(network, x, stride=stride), stride)


@pytest.mark.parametrize("stride", STRIDES)
def test_a_layer_s_error_on_the_demo_model_s_weights_and_photo(stride):
    with npresnet.load("demo", threads=1) as model:
        x = model.preprocess(npresnet.model.finding.DEMO.parent / "chelsea.jpg")
        assert_small_error(layer_errors(model.network, x, stride=stride), stride)


@pytest.mark.parametrize("stride", STRIDES)
def test_a_layer_s_error_on_real_weights(cifar_checkpoints, stride):
    network, _ = arch.build(weights.read(str(cifar_checkpoints[44])).tensors)
    x = np.random.default_rng(0).standard_normal((4, 3, 32, 32), np.float32)
    assert_small_error(layer_errors(network, x, stride=stride), stride)


def test_a_larger_error_is_rejected(monkeypatch):
    """F(4x4) instead of F(2x2) has too large an error."""
    network, _ = arch.build(arch.random_tensors("cifar_resnet20"))
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    found = layer_errors(network, x, tiles=(4,))
    with pytest.raises(AssertionError):
        assert_small_error({2: found[4]})
