"""PyTorch as an interpreter of our Network: an oracle that shares neither our arithmetic nor their wiring.

In float64 it is what is right, in float32 how far PyTorch itself is from that.
"""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.network import INPUT, Network, Node

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional
ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x, negative_slope=0.01: F.leaky_relu(x, negative_slope),
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
}


def run(network: Network, x: np.ndarray, dtype: type[np.floating] = np.float64) -> dict[str, np.ndarray]:
    """What the network is asked for, computed by PyTorch in `dtype`."""
    values = {INPUT: torch.from_numpy(np.array(x, dtype))}
    for node in network:
        y = _compute(node, dtype, *(values[name] for name in node.inputs))
        values[node.name] = y if node.activation is None else _activation(node.activation, node, y)
    return {asked: values[name].numpy() for asked, name in network.outputs.items()}


def _activation(name: str, node: Node, x):
    slope = {"negative_slope": node.attrs["negative_slope"]} if "negative_slope" in node.attrs else {}
    return ACTIVATIONS[name](x, **slope)


def _compute(node: Node, dtype: type[np.floating], x, *others):
    p = {role: torch.from_numpy(np.array(array, dtype)) for role, array in node.params.items()}
    w, attrs = node.window, node.attrs
    if node.op == "conv2d":
        y = F.conv2d(x, p["weight"], p.get("bias"), w.stride, w.padding, w.dilation, node.groups)
        return y + others[0] if others else y
    if node.op == "batch_norm":
        return F.batch_norm(x, p["running_mean"], p["running_var"], p.get("weight"), p.get("bias"), eps=attrs["eps"])
    if node.op == "max_pool2d":
        return F.max_pool2d(x, w.kernel_size, w.stride, w.padding, w.dilation, attrs.get("ceil_mode", False))
    if node.op == "shortcut_a":
        before, after = attrs["pad_channels"]
        return F.pad(x[:, :, :: attrs["stride"], :: attrs["stride"]], (0, 0, 0, 0, before, after))
    if node.op == "multiply":
        (gate,) = others
        return x * (gate if gate.shape == x.shape else gate.reshape(*gate.shape[:2], 1, 1))
    if node.op == "linear":
        return F.linear(x, p["weight"], p.get("bias"))
    if node.op in ACTIVATIONS:
        return _activation(node.op, node, x)
    return {
        "add": torch.add,
        "global_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 1),
        "flatten": lambda x: torch.flatten(x, 1),
    }[node.op](x, *others)
