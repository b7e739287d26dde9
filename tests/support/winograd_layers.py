"""Winograd on the CPU, forced for layers and networks of integers: cases, and checks shared by several tests."""

from __future__ import annotations

import numpy as np

from npresnet import cpu, ops
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import ConvCase, integers
from tests.support.checks import assert_same, check_fused_exact
from tests.support.forcing import forced, winograd
from tests.support.one_node import execute_on_cpu

TILES, FORMS, STRIDES = (2, 4), ("gemm", "panels"), (1, 2)
SIZES = [(1, 1), (3, 7), (7, 13), (13, 33), (33, 3), (2, 4), (8, 5), (16, 16)]
CHANNELS = [(5, 7, 1), (8, 64, 1), (32, 16, 1), (64, 64, 8), (12, 12, 3), (128, 128, 2)]


def rounded(execute):
    """Round to integers, like the exact result; an error of a half or more gives another integer."""
    return lambda network, x: {asked: np.rint(value) for asked, value in execute(network, x).items()}


def cases(sizes=SIZES, channels=CHANNELS, batch=None, stride=1):
    """Paddings 0 to 2, also different ones for height and width, wherever the window fits."""
    seed = 0
    for size in sizes:
        for in_channels, out_channels, groups in channels:
            seed += 1
            padding = [(1, 1), (0, 0), (2, 2), (1, 0), (0, 2)][seed % 5]
            if all(n + 2 * p >= 3 for n, p in zip(size, padding, strict=True)):
                window = Window.of(3, stride, padding)
                yield ConvCase(batch or 1 + seed % 3, in_channels, out_channels, size, window, groups, seed)


def check_layers(tile: int, form: str = "gemm", *, stride=1, execute=execute_on_cpu, some=None) -> None:
    """Bias, residual and ReLU in all combinations over ragged sizes, paddings and groups."""
    with forced(winograd(tile, form)) as taken:
        check_fused_exact(rounded(execute), cases(stride=stride) if some is None else some)
    assert any(choice == winograd(tile, form) for choice in taken)


def shared_network() -> tuple[Network, tuple[int, int, int]]:
    """One value, computed by Winograd and read with five halos; no size is a multiple of a tile."""
    rng = np.random.default_rng(0)

    def conv(name: str, source: str, kernel_size: int, padding: object, *residual: str, stride: int = 1) -> Node:
        weight = integers(rng, (6, 3 if source == INPUT else 6, kernel_size, kernel_size), most=1)
        window = Window.of(kernel_size, stride, padding)
        return Node(name, "conv2d", (source, *residual), window, params={"weight": weight}, activation="relu")

    nodes = (
        conv("a", INPUT, 3, 1),
        conv("same", "a", 3, 1, "a"),
        conv("none", "a", 3, 0),
        conv("wide", "a", 3, 2),
        conv("one", "a", 1, 0),
        conv("large", "a", 5, (2, 1)),
        conv("strided", "a", 3, (0, 1), stride=2),
        Node("pooled", "max_pool2d", ("a",), Window.of(3, 2, 1)),
        conv("again", "same", 3, 1, "one"),
    )
    return Network(nodes, {node.name: node.name for node in nodes}), (3, 13, 11)


def check_halos(tile: int) -> None:
    """Several runs on different images by one plan, whose halos must remain zero."""
    network, image = shared_network()
    with forced(winograd(tile)):
        executable = cpu.compile(network, threads=1)
        for seed, count in enumerate((1, 2, 3)):
            x = integers(np.random.default_rng(seed), (count, *image))
            got, expected = executable(x), ops.run(network, x)
            for name, array in expected.items():
                assert_same(np.rint(got[name]), array, (name, seed))
        again = executable(x)
    for name, array in got.items():
        assert_same(again[name], array, name)
