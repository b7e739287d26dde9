"""Checks of whole networks on the CPU backend against `ops.run`, on integers: bit for bit, so without Winograd."""

from __future__ import annotations

import numpy as np

from npresnet import cpu, ops
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import integers
from tests.support.checks import assert_same


def check_network_exact(network: Network, image: tuple[int, int, int], *, threads: int = 1) -> None:
    """Several batches of different images on one executable: reused memory contains no right answers."""
    executable = cpu.compile(network, threads=threads, winograd=False)
    try:
        for seed, count in enumerate((1, 1, 3, 4)):
            x = integers(np.random.default_rng(seed), (count, *image))
            got, expected = executable(x), ops.run(network, x)
            assert set(got) == set(expected)
            for name, array in expected.items():
                assert_same(got[name], array, (name, seed))
    finally:
        executable.close()


def tiled_network() -> tuple[Network, tuple[int, int, int]]:
    """Every layer has several tiles, which read results of other tiles of the previous layer."""
    rng = np.random.default_rng(0)

    def conv(name: str, inputs: tuple[str, ...], channels: tuple[int, int], *, stride: int = 1) -> Node:
        weight = integers(rng, (channels[1], channels[0], 3, 3), most=1)
        return Node(name, "conv2d", inputs, Window.of(3, stride, 1), params={"weight": weight}, activation="relu")

    nodes = (
        conv("conv1", (INPUT,), (2, 24)),
        Node("maxpool", "max_pool2d", ("conv1",), Window.of(3, 1, 1)),
        conv("conv2", ("maxpool",), (24, 24)),
        conv("conv3", ("conv2", "maxpool"), (24, 24)),
    )
    return Network(nodes, {"y": "conv3"}), (2, 71, 70)
