"""The GPU backend bit for bit on whole numbers, through the emulator: every operation, and random networks."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops, passes
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fuse_max_pool
from npresnet.window import Window
from tests.cuda.running import compiled, execute_on_gpu
from tests.emulator import emulator
from tests.support.cases import integers
from tests.support.checks import assert_same, check_batch_norm_exact, check_global_avg_pool_exact, check_pointwise_exact
from tests.support.one_node import Operations
from tests.support.random_networks import random_network

pytestmark = emulator.needed


def check_exact(network: Network, image: tuple[int, int, int], batches=(1, 3, 2, 1)) -> None:
    """Several batches through one executable, each of other images."""
    executable = compiled(network)
    for seed, count in enumerate(batches):
        x = integers(np.random.default_rng(seed), (count, *image))
        got, expected = executable(x), ops.run(network, x)
        assert set(got) == set(expected)
        for name, array in expected.items():
            assert got[name].dtype == np.float32
            assert_same(got[name], array, (name, seed))


def test_pointwise(gpus):
    """relu, add, flatten before a fully connected layer, shortcut_a, the ReLU flag of add, linear and batch_norm."""
    gpus()
    check_pointwise_exact(execute_on_gpu)


def test_global_avg_pool(gpus):
    gpus()
    check_global_avg_pool_exact(Operations(execute_on_gpu).global_avg_pool)


def test_batch_norm(gpus):
    gpus()
    check_batch_norm_exact(Operations(execute_on_gpu).batch_norm)


@pytest.mark.parametrize("seed", range(12))
def test_random_network(gpus, seed):
    """Values that share an arena, residuals, features asked for anywhere, the image itself among them."""
    gpus()
    network, image = random_network(seed)
    check_exact(network, image)
    check_exact(passes.optimize(network), image)


def test_two_linear_layers(gpus):
    """The first one's float32 result becomes a value that the second one reads, and is asked for as well."""
    gpus()
    rng = np.random.default_rng(0)
    nodes = (
        Node("flat", "flatten", (INPUT,)),
        Node("first", "linear", ("flat",), params={"weight": integers(rng, (9, 12)), "bias": integers(rng, (9,))}),
        Node("relu", "relu", ("first",)),
        Node("second", "linear", ("relu",), params={"weight": integers(rng, (5, 9))}),
    )
    network = Network(nodes, {"first": "first", "y": "second"})
    check_exact(network, (3, 2, 2))
    check_exact(passes.optimize(network), (3, 2, 2))


def test_a_stem_fused_with_its_pool_for_another_backend(gpus):
    gpus()
    rng = np.random.default_rng(0)
    conv = Node("conv", "conv2d", (INPUT,), Window.of(7, 2, 3), params={"weight": integers(rng, (8, 3, 7, 7), most=1)})
    pool = Node("pool", "max_pool2d", ("conv",), Window.of(3, 2, 1), activation="relu")
    network = fuse_max_pool(Network((conv, pool), {"y": "pool"}))
    assert network.nodes[0].op == "conv2d_max_pool2d"
    check_exact(network, (3, 17, 14))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 13])
def test_images_of_any_channels(gpus, channels):
    """They lie padded to 4 or 8; grouped convolutions, which would see the padding, get them as they are."""
    gpus()
    rng = np.random.default_rng(channels)
    whole = Node("whole", "conv2d", (INPUT,), Window.of(3, 1, 1), params={"weight": integers(rng, (6, channels, 3, 3))})
    weight = integers(rng, (2 * channels, 1, 3, 3))
    grouped = Node("grouped", "conv2d", (INPUT,), Window.of(3, 2, 1), channels, params={"weight": weight})
    check_exact(Network((whole,), {"y": "whole", "x": INPUT}), (channels, 6, 5), batches=(1, 2))
    check_exact(Network((whole, grouped), {"y": "whole", "z": "grouped"}), (channels, 6, 5), batches=(1, 2))


def test_a_vector_in_another_order_is_not_added(gpus):
    gpus()
    rng = np.random.default_rng(0)
    nodes = (
        Node("flat", "flatten", (INPUT,)),
        Node("linear", "linear", ("flat",), params={"weight": integers(rng, (8, 8))}),
        Node("sum", "add", ("flat", "linear")),
    )
    with pytest.raises(Exception, match="sum: the GPU backend does not add a flattened image"):
        execute_on_gpu(Network(nodes, {"y": "sum"}), integers(rng, (1, 2, 2, 2)))


def test_the_image_as_a_residual_has_its_own_channels(gpus):
    """An image of three channels is stored with four where only convolutions read it; as a residual it must not be."""
    gpus()
    rng = np.random.default_rng(3)
    conv = Node("conv", "conv2d", (INPUT,), Window.of(3, padding=1), params={"weight": integers(rng, (3, 3, 3, 3))})
    network = Network((conv, Node("add", "add", ("conv", INPUT)), Node("y", "relu", ("add",))), {"y": "y"})
    x = integers(rng, (2, 3, 6, 6))
    expected = ops.run(network, x)["y"]
    for made in (network, passes.optimize(network)):
        assert_same(compiled(made)(x)["y"], expected)
