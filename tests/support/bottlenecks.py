"""Small networks of Bottleneck blocks on whole numbers: every value is exact in float32, however it is computed."""

from __future__ import annotations

import numpy as np

from npresnet.network import INPUT, Array, Network, Node
from npresnet.window import Window
from tests.support.cases import integers

EPS = 0.25
IMAGE = (2, 16, 16)  # the last values have 4x4 pixels, so that their mean is exact too


def bottlenecks(
    seed: int = 0, *, groups: int = 1, stride_first: bool = False, norms: bool = True, relu: bool = True
) -> Network:
    """Two stages of two and three blocks, the second with a stride, each with a projection first: unfused nodes.

    groups        of the 3x3 convolutions, and of every second block's first 1x1 convolution
    stride_first  the stride stands on the first 1x1 convolution instead of the 3x3 one
    norms         BatchNorms follow the convolutions; otherwise those have a bias of their own
    relu          False leaves the blocks' last ReLU out
    """
    made = _Builder(seed, norms)
    x = made.conv("conv1", INPUT, (2, 8), 3, relu=True)
    for stage, (blocks, stride, channels) in enumerate(((2, 2, 16), (3, 2, 32)), start=1):
        for block in range(blocks):
            name, step = f"layer{stage}.{block}", stride if block == 0 else 1
            first, second = (step, 1) if stride_first else (1, step)
            shortcut, width = x, made.channels[x]
            y = made.conv(f"{name}.conv1", x, (width, 8), 1, stride=first, groups=groups if block % 2 else 1, relu=True)
            y = made.conv(f"{name}.conv2", y, (8, 8), 3, stride=second, groups=groups, relu=True)
            y = made.conv(f"{name}.conv3", y, (8, channels), 1)
            if block == 0:
                shortcut = made.conv(f"{name}.downsample", x, (width, channels), 1, stride=step)
            x = made.add(f"{name}.add", y, shortcut, relu=relu)
    nodes = (
        *made.nodes,
        Node("avgpool", "global_avg_pool", (x,)),
        Node("flatten", "flatten", ("avgpool",)),
        Node("fc", "linear", ("flatten",), params={"weight": integers(made.rng, (5, 32), most=1)}),
    )
    return Network(nodes, {"logits": "fc"})


class _Builder:
    """Nodes so far. Filters have two taps that are not 0, so that values grow little."""

    def __init__(self, seed: int, norms: bool):
        self.rng = np.random.default_rng(seed)
        self.norms = norms
        self.nodes: list[Node] = []
        self.channels: dict[str, int] = {}

    def conv(
        self, name: str, source: str, channels: tuple[int, int], kernel: int, *, stride=1, groups=1, relu=False
    ) -> str:
        in_channels, out_channels = channels
        params = {"weight": self._weight((out_channels, in_channels // groups, kernel, kernel))}
        if not self.norms:
            params["bias"] = integers(self.rng, (out_channels,), most=1)
        window = Window.of(kernel, stride, kernel // 2)
        last = self._put(Node(name, "conv2d", (source,), window, groups, params=params), out_channels)
        if self.norms:
            last = self._put(self._norm(f"{name}.bn", last, out_channels), out_channels)
        return self._put(Node(f"{name}.relu", "relu", (last,)), out_channels) if relu else last

    def add(self, name: str, a: str, b: str, *, relu: bool) -> str:
        last = self._put(Node(name, "add", (a, b)), self.channels[a])
        return self._put(Node(f"{name}.relu", "relu", (last,)), self.channels[a]) if relu else last

    def _put(self, node: Node, channels: int) -> str:
        self.nodes.append(node)
        self.channels[node.name] = channels
        return node.name

    def _weight(self, shape: tuple[int, ...]) -> Array:
        weight = np.zeros((shape[0], int(np.prod(shape[1:]))), np.float32)
        for row in weight:
            row[self.rng.integers(weight.shape[1], size=2)] = self.rng.choice([-1, 1], 2)
        return weight.reshape(shape)

    def _norm(self, name: str, source: str, channels: int) -> Node:
        """Scales by -1, 1 or 2 and shifts by -1, 0 or 1."""
        root = self.rng.choice([1, 2], channels)
        params = {
            "running_mean": np.zeros(channels),
            "running_var": root**2 - EPS,
            "weight": root * self.rng.choice([-1, 1, 1, 2], channels),
            "bias": self.rng.integers(-1, 2, channels),
        }
        arrays = {role: array.astype(np.float32) for role, array in params.items()}
        return Node(name, "batch_norm", (source,), attrs={"eps": EPS}, params=arrays)
