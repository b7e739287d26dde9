"""PyTorch as an interpreter of our Network: an oracle independent of our arithmetic and of torchvision's modules.

In float64 it is the exact result, in float32 it gives PyTorch's own error.
"""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.network import INPUT, Network, Node
from npresnet.ops.pad2d import border_of

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
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "tanh": torch.tanh,
    "elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "celu": lambda x, alpha=1.0: F.celu(x, alpha),
    "selu": F.selu,
    "mish": F.mish,
    "hard_mish": lambda x: 0.5 * x * (x + 2).clamp(0, 2),
}
PARAMETERS = ("negative_slope", "alpha")


def run(network: Network, x: np.ndarray, dtype: type[np.floating] = np.float64) -> dict[str, np.ndarray]:
    """The network's outputs, computed by PyTorch in `dtype`."""
    values = {INPUT: torch.from_numpy(np.array(x, dtype))}
    for node in network:
        y = _compute(node, dtype, *(values[name] for name in node.inputs))
        values[node.name] = y if node.activation is None else _activation(node.activation, node, y)
    return {asked: values[name].numpy() for asked, name in network.outputs.items()}


def _activation(name: str, node: Node, x):
    return ACTIVATIONS[name](x, **{key: node.attrs[key] for key in PARAMETERS if key in node.attrs})


def _compute(node: Node, dtype: type[np.floating], x, *others):
    p = {role: torch.from_numpy(np.array(array, dtype)) for role, array in node.params.items()}
    w, attrs = node.window, node.attrs
    if node.op == "conv2d":
        y = F.conv2d(x, p["weight"], p.get("bias"), w.stride, w.padding, w.dilation, node.groups)
        return y + others[0] if others else y
    if node.op == "batch_norm":
        return F.batch_norm(x, p["running_mean"], p["running_var"], p.get("weight"), p.get("bias"), eps=attrs["eps"])
    if node.op in NORMS:
        return sum(others, NORMS[node.op](x, attrs, **p))
    if node.op == "prelu":
        return F.prelu(x, p["weight"])
    if node.op == "pad2d":
        return F.pad(x, border_of(attrs, x.shape[2:]), mode="reflect" if attrs.get("mode") == "reflect" else "constant")
    if node.op == "avg_pool2d":
        options = attrs.get("ceil_mode", False), attrs.get("count_include_pad", True)
        return F.avg_pool2d(x, w.kernel_size, w.stride, w.padding, *options)
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


def _layer_norm2d(x, attrs, weight=None, bias=None):
    return F.layer_norm(x.movedim(1, -1), x.shape[1:2], weight, bias, attrs["eps"]).movedim(-1, 1)


def _filter_response_norm(x, attrs, weight=None, bias=None, tau=None):
    y = _affine(x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + attrs["eps"]), weight, bias)
    return y if tau is None else torch.maximum(y, tau[:, None, None])


def _evo_norm_s0(x, attrs, v, weight=None, bias=None):
    groups = x.reshape(len(x), attrs["groups"], -1)
    deviation = (groups.var(2, unbiased=False, keepdim=True) + attrs["eps"]).sqrt().expand(groups.shape)
    return _affine(x * torch.sigmoid(x * v[:, None, None]) / deviation.reshape(x.shape), weight, bias)


def _affine(x, weight, bias):
    x = x if weight is None else x * weight[:, None, None]
    return x if bias is None else x + bias[:, None, None]


NORMS = {
    "group_norm": lambda x, attrs, weight=None, bias=None: F.group_norm(x, attrs["groups"], weight, bias, attrs["eps"]),
    "layer_norm2d": _layer_norm2d,
    "filter_response_norm": _filter_response_norm,
    "evo_norm_s0": _evo_norm_s0,
}
