"""Depthwise convolution on the CPU: exact on integers, chosen for what it can take, planted faults, bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npresnet import cpu, ops, passes
from npresnet.cpu.kernels import depthwise
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import integers

WINDOWS = [
    Window.of(kernel_size, stride, padding, dilation)
    for kernel_size, stride, padding, dilation in product(
        (3, (1, 3), 5, 2), (1, 2, (1, 2)), (0, 1, (2, 0)), (1, (1, 2), 2)
    )
]


def conv(window: Window, channels: int, seed: int = 0, *inputs: str, **more: object) -> Node:
    rng = np.random.default_rng(seed)
    params = {
        "weight": integers(rng, (channels, 1, *window.kernel_size), most=3),
        "bias": integers(rng, (channels,)),
    }
    return Node("y", "conv2d", inputs or (INPUT,), window, channels, params=params, **more)


def run(node: Node, x: np.ndarray, threads: int = 1) -> np.ndarray:
    executable = cpu.compile(Network((node,), {"y": "y"}), threads=threads)
    try:
        assert executable.steps(x.shape[1:])[0].algorithm == "depthwise"
        return executable(x)["y"]
    finally:
        executable.close()


@pytest.mark.parametrize("channels", [2, 33])
def test_exact_on_integers(channels):
    for number, window in enumerate(WINDOWS):
        x = integers(np.random.default_rng(number), (1 + number % 2, channels, 9, 11))
        node = conv(window, channels, number, activation="relu" if number % 3 else None)
        expected = ops.run(Network((node,), {"y": "y"}), x)["y"]
        np.testing.assert_array_equal(run(node, x), expected, err_msg=str(window))


@pytest.mark.parametrize("threads", [1, 2])
def test_many_tiles_with_residual_and_a_folded_norm(threads):
    """Powers of two as scales: exact. Two convolutions, so that there are zeros around the first one's result."""
    rng = np.random.default_rng(5)
    norm = {
        "running_mean": integers(rng, (40,)),
        "running_var": np.full(40, 4.0, np.float32),
        "weight": np.resize(np.array([2, 4, -8], np.float32), 40),
        "bias": integers(rng, (40,)),
    }
    nodes = (
        conv(Window.of(3, 1, 1), 40, 1).evolve(name="a"),
        Node("b", "batch_norm", ("a",), attrs={"eps": 0}, params=norm),
        conv(Window.of(3, 1, 1), 40, 2, "b").evolve(name="c"),
        Node("d", "add", ("c", INPUT)),
        Node("y", "relu", ("d",)),
    )
    network = passes.optimize(Network(nodes, {"y": "y"}))
    assert len(network) == 2
    x = integers(np.random.default_rng(6), (3, 40, 57, 61))
    executable = cpu.compile(network, threads=threads)
    assert all(len(step.tiles) > 2 for step in executable.steps(x.shape[1:]))
    for count in (1, 3):
        np.testing.assert_array_equal(executable(x[:count])["y"], ops.run(network, x[:count])["y"])
    executable.close()


def test_the_bits_depend_neither_on_batch_nor_threads():
    rng = np.random.default_rng(8)
    node = conv(Window.of(3, 2, 1), 96).evolve(params={"weight": rng.normal(size=(96, 1, 3, 3)).astype(np.float32)})
    x = rng.normal(size=(3, 96, 60, 60)).astype(np.float32)
    expected = run(node, x)
    for threads, first, last in ((2, 0, 1), (3, 1, 3), (1, 2, 3)):
        np.testing.assert_array_equal(run(node, x[first:last], threads), expected[first:last])


def test_blurring_equals_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    taps = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    weight = np.tile(taps, (24, 1, 1, 1))
    nodes = (
        Node("pad", "pad2d", (INPUT,), attrs={"padding": (1, 1, 1, 1), "mode": "reflect"}),
        Node("y", "conv2d", ("pad",), Window.of(3, 2), 24, params={"weight": weight}),
    )
    x = integers(np.random.default_rng(0), (2, 24, 23, 20))
    padded = torch.nn.functional.pad(torch.from_numpy(x), (1, 1, 1, 1), mode="reflect")
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), stride=2, groups=24).numpy()
    for threads in (1, 2):
        executable = cpu.compile(Network(nodes, {"y": "y"}), threads=threads)
        np.testing.assert_array_equal(executable(x)["y"], expected)
        executable.close()


@pytest.mark.parametrize(("groups", "out_channels"), [(8, 16), (4, 8), (1, 8)])
def test_others_are_computed_as_before(groups, out_channels):
    """Two filters a channel, two channels a group, no groups."""
    weight = integers(np.random.default_rng(0), (out_channels, 8 // groups, 3, 3))
    network = Network(
        (Node("y", "conv2d", (INPUT,), Window.of(3, 2, 1), groups, params={"weight": weight}),), {"y": "y"}
    )
    executable = cpu.compile(network, threads=1, winograd=False)
    assert executable.steps((8, 9, 9))[0].algorithm.startswith("direct")
    x = integers(np.random.default_rng(1), (1, 8, 9, 9))
    np.testing.assert_array_equal(executable(x)["y"], ops.run(network, x)["y"])


def test_swapped_taps_are_detected(monkeypatch):
    x = integers(np.random.default_rng(1), (1, 5, 9, 9))
    node = conv(Window.of(3, 1, 1), 5)
    right = run(node, x)
    real = depthwise.window_view
    monkeypatch.setattr(depthwise, "window_view", lambda *args: real(*args).swapaxes(3, 4))
    assert (run(node, x) != right).any()
