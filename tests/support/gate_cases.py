"""Networks of one gate, slice, pool or split attention each, over sizes and channels, for exact tests on any backend.

Nothing is rounded on integers: softmaxes and sigmoids have tests of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import integers

SIZES = ((1, 1), (3, 7), (33, 1), (12, 11))
CHANNELS = (2, 6, 24, 66)
Image = tuple[int, int, int]


def one_number(size: tuple[int, int], name: str = "gate", source: str = INPUT) -> Node:
    """One number per channel, (C, 1, 1), an integer."""
    return Node(name, "max_pool2d", (source,), Window.of(size))


def other(name: str = "other") -> Node:
    """A value of the image's shape, other numbers."""
    return Node(name, "max_pool2d", (INPUT,), Window.of(3, 1, 1))


def gated(op: str, kind: str, size: tuple[int, int], *, residual: bool, activation: str | None) -> Network:
    """`op` is multiply or broadcast_add; `kind` "map", "channel", "vector" or "position"."""
    gates = {
        "map": [other("gate")],
        "channel": [one_number(size)],
        "vector": [one_number(size, "pixel"), Node("gate", "flatten", ("pixel",))],
        "position": [Node("gate", "channel_max", (INPUT,))],
    }
    inputs = (INPUT, "gate", *(["other"] if residual else []))
    nodes = (*gates[kind], other(), Node("y", op, inputs, activation=activation))
    return Network(nodes, {"y": "y"})


def gate_networks() -> Iterator[tuple[str, Network, Image]]:
    """(name, network, image) of multiply and broadcast_add."""
    numbered = 0
    for size in SIZES:
        for kind in ("map", "channel", "vector", "position"):
            for op in ("multiply", "broadcast_add"):
                channels, numbered = CHANNELS[numbered % len(CHANNELS)], numbered + 1
                residual, activation = bool(numbered // 2 % 2), (None, "relu")[numbered % 2]
                network = gated(op, kind, size, residual=residual, activation=activation)
                yield f"{op} {kind} {channels}x{size}", network, (channels, *size)


def channel_networks() -> Iterator[tuple[str, Network, Image]]:
    """Of slices, concatenations, reductions over the channels, the global maximum, and the convolution along them."""
    for size in SIZES:
        for channels in CHANNELS:
            nodes = tuple(_channel_nodes(channels, one_number(size, "pool")))
            yield f"{channels}x{size}", Network(nodes, {node.name: node.name for node in nodes[2:]}), (channels, *size)


def _channel_nodes(channels: int, pool: Node) -> Iterator[Node]:
    rng = np.random.default_rng(channels)
    half = channels // 2
    yield pool
    yield other()
    yield Node("slice", "slice_channels", (INPUT,), attrs={"start": 1, "stop": channels})
    yield Node("half", "slice_channels", ("other",), attrs={"start": half, "stop": channels}, activation="relu")
    yield Node("concat", "concat", (INPUT, "half", "other"), activation="relu6")
    yield Node("max", "channel_max", (INPUT,), activation="relu")
    yield Node("global", "global_max_pool", ("concat",))
    for mode in ("zeros", "circular"):
        for taps, has_bias in ((1, True), (3, False), (5, True)):
            if mode == "circular" and taps // 2 > channels:
                continue
            params: dict[str, Any] = {"weight": integers(rng, (1, 1, taps))}
            if has_bias:
                params["bias"] = integers(rng, (1,))
            name = f"{mode} {taps}"
            yield Node(
                name, "channel_conv1d", ("pool",), attrs={"padding_mode": mode}, params=params, activation="relu"
            )
    yield Node("row", "flatten", ("pool",))
    yield Node("vector", "channel_conv1d", ("row",), params={"weight": integers(rng, (1, 1, 3))})


def radix_networks() -> Iterator[tuple[str, Network, Image]]:
    """Of sums and weighted sums over the radix."""
    for size in SIZES:
        for channels in (6, 24, 66):
            for radix in (1, 2, 3):
                attrs = {"radix": radix}
                nodes = (
                    one_number(size, "weights"),
                    Node("row", "flatten", ("weights",)),
                    Node("sum", "radix_sum", (INPUT,), attrs=attrs, activation="relu"),
                    Node("weighted", "radix_weighted_sum", (INPUT, "weights"), attrs=attrs),
                    Node("by row", "radix_weighted_sum", (INPUT, "row"), attrs=attrs, activation="relu"),
                )
                outputs = {name: name for name in ("sum", "weighted", "by row")}
                yield f"{channels}x{size} by {radix}", Network(nodes, outputs), (channels, *size)
