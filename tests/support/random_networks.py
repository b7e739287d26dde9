"""Random small networks of integers: every result is exact in float32, in any order of computation.

Each value has a bound on its magnitude, and an operation that could take it, or any partial sum, beyond
2**22 is not drawn. Sequences of convolution, BatchNorm, addition and ReLU are likely, so that passes apply; values are
read again later, and some within such a sequence are outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import fits, integers

MOST = 2**22
EPS = 0.25


@dataclass(frozen=True)
class Known:
    """A value drawn so far: (C, H, W), and the bound of its magnitude."""

    name: str
    shape: tuple[int, int, int]
    most: int


def random_network(seed: int, length: int = 14) -> tuple[Network, tuple[int, int, int]]:
    """About `length` nodes, and the shape (C, H, W) of their image. The outputs are the last node and a few others."""
    rng = np.random.default_rng(seed)
    image = (int(rng.integers(1, 5)), int(rng.integers(4, 14)), int(rng.integers(4, 14)))
    known = [Known(INPUT, image, 4)]
    nodes: list[Node] = []
    while len(nodes) < length:
        usual = FOLLOWS.get(nodes[-1].op) if nodes and rng.random() < 0.6 else None
        draw = usual[rng.integers(len(usual))] if usual else DRAW[rng.choice(len(DRAW), p=ODDS)]
        source = known[-1] if usual or rng.random() < 0.7 else known[rng.integers(len(known))]
        drawn = draw(rng, f"n{len(nodes)}", source, known)
        if drawn is not None and drawn[1].most <= MOST:
            nodes.append(drawn[0])
            known.append(drawn[1])
        elif rng.random() < 0.02:
            break  # no operation is possible: the numbers are too large
    asked = {nodes[i].name for i in rng.integers(len(nodes), size=2)} | {nodes[-1].name}
    outputs = {f"asked {name}": name for name in sorted(asked)}
    if seed % 5 == 0:
        outputs["the image"] = INPUT
    if seed % 4 == 0:
        outputs["the same again"] = nodes[-1].name
    head = (Node("mean", "global_avg_pool", (nodes[-1].name,)), Node("row", "flatten", (nodes[-1].name,)))
    return Network((*nodes, *head), outputs | {"mean": "mean", "row": "row"}), image


def _conv2d(rng, name, source, known):
    channels, height, width = source.shape
    groups = int(rng.choice([g for g in (1, 1, 2, channels) if channels % g == 0]))
    out_channels = groups * int(rng.integers(1, 4))
    window = _window(rng, (height, width))
    if rng.random() < 0.5:  # the shape is kept, so that it can be added
        out_channels, window = channels, Window.of(3, 1, 1)
    if window is None:
        return None
    weight = integers(rng, (out_channels, channels // groups, *window.kernel_size), most=1)
    params, most = {"weight": weight}, source.most * weight[0].size
    if rng.random() < 0.3:
        params["bias"], most = integers(rng, (out_channels,)), most + 4
    shape = (out_channels, *window.output_size((height, width)))
    return Node(name, "conv2d", (source.name,), window, groups, params=params), Known(name, shape, most)


def _batch_norm(rng, name, source, known):
    """scale is -2, -1, 1 or 2, so that integers remain integers, folded into the weights or not."""
    channels = source.shape[0]
    root = rng.choice([1, 2, 4], channels)
    params = {
        "running_mean": integers(rng, (channels,)),
        "running_var": (root**2 - EPS).astype(np.float32),
        "weight": (root * rng.choice([-2, -1, 1, 2], channels)).astype(np.float32),
        "bias": integers(rng, (channels,)),
    }
    node = Node(name, "batch_norm", (source.name,), attrs={"eps": EPS}, params=params)
    return node, Known(name, source.shape, 4 * (2 * source.most + 12))  # 4: its steps, one by one, multiply by root


def _relu(rng, name, source, known):
    return Node(name, "relu", (source.name,)), Known(name, source.shape, source.most)


def _add(rng, name, source, known):
    fitting = [value for value in known if value.shape == source.shape and value is not source] or [source]
    other = fitting[rng.integers(len(fitting))]
    inputs = (source.name, other.name) if rng.random() < 0.5 else (other.name, source.name)
    return Node(name, "add", inputs), Known(name, source.shape, source.most + other.most)


def _max_pool2d(rng, name, source, known):
    size, ceil_mode = source.shape[1:], bool(rng.random() < 0.5)
    window = Window.of(3, int(rng.integers(1, 3)), int(rng.integers(0, 2)))
    if not fits(window, size):
        return None
    node = Node(name, "max_pool2d", (source.name,), window, attrs={"ceil_mode": ceil_mode})
    return node, Known(name, (source.shape[0], *window.output_size(size, ceil_mode=ceil_mode)), source.most)


def _shortcut_a(rng, name, source, known):
    channels, height, width = source.shape
    stride, (before, after) = int(rng.integers(1, 3)), (int(n) for n in rng.integers(0, 3, 2))
    node = Node(name, "shortcut_a", (source.name,), attrs={"stride": stride, "pad_channels": (before, after)})
    return node, Known(name, (before + channels + after, -(-height // stride), -(-width // stride)), source.most)


def _window(rng, size) -> Window | None:
    kernel = [(1, 1), (3, 3), (3, 3), (1, 3), (3, 1)][rng.integers(5)]
    stride = [(1, 1), (1, 1), (1, 1), (2, 2), (1, 2)][rng.integers(5)]
    dilation = [(1, 1), (1, 1), (2, 1)][rng.integers(3)]
    same = tuple(d * (k // 2) for k, d in zip(kernel, dilation, strict=True))
    padding = [same, same, same, (0, 0), (2, 1)][rng.integers(5)]
    window = Window(kernel, stride, padding, dilation)
    return window if fits(window, size) else None


DRAW = (_conv2d, _batch_norm, _relu, _add, _max_pool2d, _shortcut_a)
ODDS = (0.5, 0.1, 0.1, 0.15, 0.075, 0.075)
FOLLOWS = {"conv2d": (_batch_norm, _batch_norm, _relu), "batch_norm": (_add, _relu), "add": (_relu,)}
