"""Gates, split attention, slices and global pools as chains of ONNX operators, for `onnx_file`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from npresnet.network import Node
from npresnet.ops.channel_conv1d import padding_mode_of
from npresnet.plan.shapes import Shape

Link = tuple[str, dict[str, Any], list[np.ndarray], "str | None"]  # op, attributes, constant inputs, second input
Shapes = Mapping[str, Shape]


def first_input_of(node: Node) -> str:
    """The value that a chain begins with: of a pool weighted by its second input that one."""
    return node.inputs[1] if node.op == "spatial_attention_pool" else node.inputs[0]


def _integers(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def _reshape(*shape: int) -> Link:
    return "Reshape", {}, [_integers(0, *shape)], None


def _gated(op: str) -> Callable[[Node, Shapes], list[Link]]:
    """x and a gate, then perhaps a residual."""
    return lambda node, shapes: [
        (op, {}, [], node.inputs[1]),
        *(("Add", {}, [], residual) for residual in node.inputs[2:]),
    ]


def _slice(node: Node, shapes: Shapes) -> list[Link]:
    return [("Slice", {}, [_integers(node.attrs[end]) for end in ("start", "stop")] + [_integers(1)], None)]


def _concat(node: Node, shapes: Shapes) -> list[Link]:
    return [("Concat", {"axis": 1}, [], name) for name in node.inputs[1:]]


def _channel_conv1d(node: Node, shapes: Shapes) -> list[Link]:
    """(C, 1, 1) as a row of C numbers; a circular row is gathered with its neighbours."""
    out = shapes[node.name]
    params = [np.asarray(node.params[role], np.float32) for role in ("weight", "bias") if role in node.params]
    taps = params[0].shape[2]
    around = np.arange(-(taps // 2), out[0] + taps // 2, dtype=np.int64) % out[0]
    is_circular = padding_mode_of(node) == "circular"
    gathered: list[Link] = [("Gather", {"axis": 2}, [around], None)] if is_circular else []
    pads = 0 if is_circular else taps // 2
    conv: Link = ("Conv", {"kernel_shape": [taps], "pads": [pads, pads]}, params, None)
    return [_reshape(1, out[0]), *gathered, conv, _reshape(*out)]


def _radix_sum(node: Node, shapes: Shapes) -> list[Link]:
    split = _reshape(node.attrs["radix"], *shapes[node.name])
    return [split, ("ReduceSum", {"keepdims": 0}, [_integers(1)], None)]


def _radix_softmax(node: Node, shapes: Shapes) -> list[Link]:
    radix, out = node.attrs["radix"], shapes[node.name]
    if radix == 1:
        return [("Sigmoid", {}, [], None)]
    return [
        _reshape(node.attrs.get("cardinality", 1), radix, -1),
        ("Transpose", {"perm": [0, 2, 1, 3]}, [], None),
        ("Softmax", {"axis": 1}, [], None),
        _reshape(*out),
    ]


def _radix_weighted_sum(node: Node, shapes: Shapes) -> list[Link]:
    return [("Mul", {}, [], node.inputs[1]), *_radix_sum(node, shapes)]


def _spatial_attention_pool(node: Node, shapes: Shapes) -> list[Link]:
    return [
        _reshape(1, -1),
        ("Softmax", {"axis": 2}, [], None),
        _reshape(*shapes[node.inputs[1]]),
        ("Mul", {}, [], node.inputs[0]),
        ("ReduceSum", {"keepdims": 1}, [_integers(2, 3)], None),
    ]


CHAINS: Mapping[str, Callable[[Node, Shapes], list[Link]]] = MappingProxyType(
    {
        "multiply": _gated("Mul"),
        "broadcast_add": _gated("Add"),
        "slice_channels": _slice,
        "concat": _concat,
        "channel_conv1d": _channel_conv1d,
        "channel_mean": lambda node, shapes: [("ReduceMean", {"axes": [1], "keepdims": 1}, [], None)],
        "channel_max": lambda node, shapes: [("ReduceMax", {"axes": [1], "keepdims": 1}, [], None)],
        "global_max_pool": lambda node, shapes: [("GlobalMaxPool", {}, [], None)],
        "radix_sum": _radix_sum,
        "radix_softmax": _radix_softmax,
        "radix_weighted_sum": _radix_weighted_sum,
        "spatial_attention_pool": _spatial_attention_pool,
    }
)
