"""Networks of no family: two stems, odd widths, tiny images, a ReLU after any operation. Regression tests, mostly."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import cpu, ops
from npresnet.network import INPUT, Network, Node
from npresnet.passes import fold_batch_norm
from npresnet.window import Window
from tests.support.cases import integers
from tests.support.checks import assert_same
from tests.support.network_checks import check_network_exact


def stem(name: str, kernel_size: int, padding: int) -> list[Node]:
    weight = integers(np.random.default_rng(padding), (8, 3, kernel_size, kernel_size))
    conv = Node(name, "conv2d", (INPUT,), Window.of(kernel_size, 2, padding), params={"weight": weight})
    return [conv, Node(f"pool_{name}", "max_pool2d", (name,), Window.of(3, 2, 1))]


@pytest.mark.parametrize("sizes", [((7, 3), (3, 0)), ((3, 0), (7, 3)), ((3, 1), (1, 0)), ((7, 3), (3, 1))], ids=str)
def test_two_stems_read_one_image(sizes):
    """With different paddings: the image's border is wide enough for both."""
    (first, second) = sizes
    nodes = (*stem("a", *first), *stem("b", *second))
    check_network_exact(Network(nodes, {"a": "pool_a", "b": "pool_b"}), (3, 29, 31), threads=2)


def test_biases_that_are_views_of_one_array():
    """They have the same start and length, but different strides."""
    rng, both = np.random.default_rng(0), np.arange(1, 17, dtype=np.float32)
    nodes = tuple(
        Node(name, "conv2d", (INPUT,), Window.of(1), params={"weight": integers(rng, (8, 3, 1, 1)), "bias": bias})
        for name, bias in {"a": both[:8], "b": both[::2]}.items()
    )
    check_network_exact(Network(nodes, {"a": "a", "b": "b"}), (3, 5, 6))


ENDS = [
    Node("y", "max_pool2d", (INPUT,), Window.of(3, 2, 1), activation="relu"),
    Node("y", "avg_pool2d", (INPUT,), Window.of(2, 2), activation="relu"),
    Node("y", "global_avg_pool", (INPUT,), activation="relu"),
    Node("y", "flatten", (INPUT,), activation="relu"),
    Node("y", "shortcut_a", (INPUT,), attrs={"stride": 2, "pad_channels": (1, 3)}, activation="relu"),
]


@pytest.mark.parametrize("node", ENDS, ids=lambda node: node.op)
def test_every_operation_has_a_relu(node):
    check_network_exact(Network((node,), {"y": "y"}), (4, 8, 16), threads=2)


# (channels, filters, height, width): the last columns, or the only one, are computed by other code than whole vectors
ODD_WIDTHS = [(128, 17, 5, 1), (256, 65, 3, 3), (32, 33, 1, 1), (16, 1, 7, 7), (32, 5, 3, 3), (64, 1, 2, 2)]


@pytest.mark.parametrize("winograd", [True, False])
@pytest.mark.parametrize("shape", ODD_WIDTHS, ids=str)
def test_odd_widths_have_the_same_bits_in_every_batch(shape, winograd):
    channels, filters, *size = shape
    rng = np.random.default_rng(filters)
    for _ in range(3):
        weight = rng.standard_normal((filters, channels, 3, 3), np.float32)
        nodes = (
            Node("cut", "relu", (INPUT,)),  # the cut, after which images are computed together
            Node("y", "conv2d", ("cut",), Window.of(3, 1, 1), params={"weight": weight}),
        )
        x = rng.standard_normal((5, channels, *size), np.float32)
        alone = cpu.compile(Network(nodes, {"y": "y"}), threads=1, winograd=winograd)
        shared = cpu.compile(Network(nodes, {"y": "y"}), threads=3, winograd=winograd)
        wanted = np.concatenate([alone(x[i : i + 1])["y"] for i in range(5)])
        for executable in (alone, shared):
            for count in (2, 3, 4, 5):
                assert_same(executable(x[:count])["y"], wanted[:count], count)


@pytest.mark.filterwarnings("error")
def test_the_callers_settings_decide_nothing_while_it_is_compiled():
    """A variance of 0 and filters beyond float32 give infinities, without warnings or errors."""
    rng = np.random.default_rng(0)
    ones = np.ones(4, np.float32)
    norm = {"weight": ones, "bias": ones, "running_mean": ones, "running_var": 0 * ones}
    nodes = (
        Node("conv", "conv2d", (INPUT,), Window.of(3, 1, 1), params={"weight": rng.standard_normal((4, 3, 3, 3))}),
        Node("norm", "batch_norm", ("conv",), attrs={"eps": 0.0}, params=norm),
        Node("pool", "max_pool2d", ("norm",), Window.of(2, 2)),
        Node("flatten", "flatten", ("pool",)),
        Node("fc", "linear", ("flatten",), params={"weight": np.full((2, 64), 1e300)}),
    )
    network, x = Network(nodes, {"y": "fc"}), rng.standard_normal((2, 3, 8, 8), np.float32)
    with np.errstate(all="raise"):
        found = cpu.compile(fold_batch_norm(network), threads=1)(x)["y"]
    with np.errstate(all="ignore"):
        assert np.isfinite(found).sum() == np.isfinite(ops.run(network, x)["y"]).sum() == 0
