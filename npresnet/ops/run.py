"""The interpreter: walk through a Network node by node, with plain NumPy. Slow, simple, and the first oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npresnet.errors import ArchitectureError, ShapeError
from npresnet.network import INPUT, Array, Network, Node
from npresnet.ops.batch_norm import batch_norm
from npresnet.ops.conv2d import conv2d
from npresnet.ops.elementwise import add, flatten, relu
from npresnet.ops.linear import linear
from npresnet.ops.pooling import avg_pool2d, global_avg_pool, max_pool2d
from npresnet.ops.shortcut import shortcut_a
from npresnet.window import Window


def run(network: Network, x: Array) -> dict[str, Array]:
    """Compute what the network is asked for.

    x        (N, C, H, W)    float64, float32 or float16; every value has this dtype, and parameters are cast to it, so
                             that float64 in makes this a float64 reference
    returns  {asked name: array (N, ...)}

    A value is freed after its last reader, so that memory is that of the values alive at once, not of all layers.
    Raises ShapeError, which names the layer, where shapes do not fit; ArchitectureError for an unknown operation.
    """
    x = np.asarray(x)
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ShapeError(f"a network expects floats (N, C, H, W), got {x.dtype} of shape {x.shape}")
    last_reader = {name: node.name for node in network for name in node.inputs}
    asked = set(network.outputs.values())
    values = {INPUT: x}
    for node in network:
        values[node.name] = compute(node, [values[name] for name in node.inputs])
        for name in {node.name, *node.inputs}:
            if last_reader.get(name, node.name) == node.name and name not in asked:
                del values[name]
    return {name: values[source] for name, source in network.outputs.items()}


def compute(node: Node, inputs: list[Array]) -> Array:
    """One node's result, its ReLU included."""
    operation = OPERATIONS.get(node.op)
    if operation is None:
        raise ArchitectureError(f"{node.name} is a {node.op!r}; npresnet knows {', '.join(OPERATIONS)}")
    try:
        out = operation(node, *inputs)
    except ShapeError as error:
        raise ShapeError(f"{node.name} {error}\n  Its input is the result of {', '.join(node.inputs)}.") from None
    return relu(out) if node.relu else out


def _conv2d(node: Node, x: Array, residual: Array | None = None) -> Array:
    """`relu(conv(x) + residual)` once both are fused in; see passes.fuse."""
    weight, window = folded_weight(node), _window(node)
    if weight.shape[2:] != window.kernel_size:
        raise ShapeError(f"expects filters of size {window.kernel_size}, got weights of shape {weight.shape}")
    out = conv2d(
        x,
        weight,
        node.params.get("bias"),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=node.groups,
    )
    return out if residual is None else add(out, residual)


def folded_weight(node: Node) -> Array:
    """A convolution's filters (O, C/G, KH, KW): weight[o], times scale[o] in float64 where a BatchNorm was folded in.

    A backend that wants float32 rounds that once.
    """
    weight, scale = node.params["weight"], node.params.get("scale")
    if scale is None:
        return weight
    scaled: Array = np.multiply(weight, scale[:, None, None, None], dtype=np.float64)
    return scaled


def _conv2d_max_pool2d(node: Node, x: Array) -> Array:
    """Max pool and ReLU may change places: the larger of two numbers is the larger after clamping, too."""
    pool: Window = node.attrs["pool"]
    return _max_pool(pool, node, _conv2d(node, x))


def _max_pool2d(node: Node, x: Array) -> Array:
    return _max_pool(_window(node), node, x)


def _max_pool(window: Window, node: Node, x: Array) -> Array:
    return max_pool2d(
        x,
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        ceil_mode=node.attrs.get("ceil_mode", False),
    )


def _avg_pool2d(node: Node, x: Array) -> Array:
    window = _window(node)
    if max(window.dilation) > 1:
        raise ShapeError(f"cannot average under a dilated window, got {window}")
    return avg_pool2d(
        x,
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        ceil_mode=node.attrs.get("ceil_mode", False),
        count_include_pad=node.attrs.get("count_include_pad", True),
    )


def _shortcut_a(node: Node, x: Array) -> Array:
    return shortcut_a(x, stride=node.attrs["stride"], pad_channels=node.attrs["pad_channels"])


def _window(node: Node) -> Window:
    if node.window is None:
        raise ArchitectureError(f"{node.name}: a {node.op} needs a window")
    return node.window


OPERATIONS: dict[str, Callable[..., Any]] = {
    "conv2d": _conv2d,
    "conv2d_max_pool2d": _conv2d_max_pool2d,
    "batch_norm": lambda node, x: batch_norm(x, **node.params, eps=node.attrs["eps"]),
    "relu": lambda node, x: relu(x),
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool": lambda node, x: global_avg_pool(x),
    "flatten": lambda node, x: flatten(x),
    "linear": lambda node, x: linear(x, node.params["weight"], node.params.get("bias")),
    "add": lambda node, a, b: add(a, b),
    "shortcut_a": _shortcut_a,
}
