"""The functions of `npresnet.ops`, each computed by a network of one node, so that every check runs on every backend.

Operations(lambda network, x: cpu.compile(network, threads=1)(x)).conv2d(x, weight, bias, stride=2)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from npresnet import cpu
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window

Execute = Callable[[Network, np.ndarray], "dict[str, np.ndarray]"]


def execute_on_cpu(
    network: Network, x: np.ndarray, *, threads: int = 1, winograd: bool = False
) -> dict[str, np.ndarray]:
    """The CPU backend, compiled for this one call; without Winograd, which is not exact."""
    executable = cpu.compile(network, threads=threads, winograd=winograd)
    try:
        return executable(x)
    finally:
        executable.close()


class Operations:
    """`npresnet.ops` through `execute(network, x) -> {output: array}`."""

    def __init__(self, execute: Execute):
        self._execute = execute

    def conv2d(self, x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
        window = Window.of(weight.shape[2:], stride, padding, dilation)
        params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return self._one(x, Node("y", "conv2d", (INPUT,), window, groups, params=params))

    def max_pool2d(self, x, kernel_size, *, stride=1, padding=0, dilation=1, ceil_mode=False):
        window = Window.of(kernel_size, stride, padding, dilation)
        return self._one(x, Node("y", "max_pool2d", (INPUT,), window, attrs={"ceil_mode": ceil_mode}))

    def avg_pool2d(self, x, kernel_size, *, stride=1, padding=0, ceil_mode=False, count_include_pad=True):
        attrs = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
        return self._one(x, Node("y", "avg_pool2d", (INPUT,), Window.of(kernel_size, stride, padding), attrs=attrs))

    def global_avg_pool(self, x):
        return self._one(x, Node("y", "global_avg_pool", (INPUT,)))

    def linear(self, x, weight, bias=None):
        params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        nodes = Node("row", "flatten", (INPUT,)), Node("y", "linear", ("row",), params=params)
        return self._one(x[:, :, None, None], *nodes)

    def batch_norm(self, x, running_mean, running_var, weight=None, bias=None, *, eps=1e-5):
        params = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
        present = {role: array for role, array in params.items() if array is not None}
        return self._one(x, Node("y", "batch_norm", (INPUT,), attrs={"eps": eps}, params=present))

    def relu(self, x):
        return self._one(x, Node("y", "relu", (INPUT,)))

    def flatten(self, x):
        return self._one(x, Node("y", "flatten", (INPUT,)))

    def shortcut_a(self, x, *, stride, pad_channels):
        return self._one(x, Node("y", "shortcut_a", (INPUT,), attrs={"stride": stride, "pad_channels": pad_channels}))

    def _one(self, x: np.ndarray, *nodes: Node) -> np.ndarray:
        return self._execute(Network(nodes, {"y": "y"}), x)["y"]


on_cpu = Operations(execute_on_cpu)
on_two_threads = Operations(partial(execute_on_cpu, threads=2))
