"""Normalisations by the image itself, PReLU and padding as chains of ONNX operators, for `onnx_file`.

Operator set 13 has InstanceNormalization only: groups become its channels for GroupNorm, pixels for LayerNorm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from npresnet.network import Node
from npresnet.ops.pad2d import border_of
from npresnet.plan.shapes import Shape

Link = tuple[str, dict[str, Any], list[np.ndarray], "str | None"]  # op, attributes, constant inputs, second input
Shapes = Mapping[str, Shape]
START = "\0"  # as a second input: what the chain begins with


def _reshape(*shape: int) -> Link:
    return "Reshape", {}, [np.array((0, *shape), np.int64)], None


def _transpose(*axes: int) -> Link:
    return "Transpose", {"perm": list(axes)}, [], None


def _normal(count: int, eps: float) -> Link:
    """(N, count, L): each row of L numbers to mean 0 and variance 1."""
    return "InstanceNormalization", {"epsilon": float(eps)}, [np.ones(count, np.float32), np.zeros(count, "f4")], None


def _per_channel(node: Node, role: str, op: str, out: Shape) -> list[Link]:
    """An operator with one of the node's vectors, if it has that."""
    if role not in node.params:
        return []
    return [(op, {}, [np.asarray(node.params[role], np.float32).reshape(-1, *[1] * (len(out) - 1))], None)]


def _affine(node: Node, out: Shape) -> list[Link]:
    return [*_per_channel(node, "weight", "Mul", out), *_per_channel(node, "bias", "Add", out)]


def _group_norm(node: Node, shapes: Shapes) -> list[Link]:
    groups, out = node.attrs["groups"], shapes[node.name]
    residual: list[Link] = [("Add", {}, [], name) for name in node.inputs[1:]]
    return [_reshape(groups, -1), _normal(groups, node.attrs["eps"]), _reshape(*out), *_affine(node, out), *residual]


def _layer_norm2d(node: Node, shapes: Shapes) -> list[Link]:
    out = channels, height, width = (*shapes[node.name], 1, 1)[:3]
    pixels = height * width
    return [
        _reshape(channels, pixels),
        _transpose(0, 2, 1),
        _normal(pixels, node.attrs["eps"]),
        _transpose(0, 2, 1),
        _reshape(*out),
        *_affine(node, out),
        _reshape(*shapes[node.name]),
    ]


def _filter_response_norm(node: Node, shapes: Shapes) -> list[Link]:
    out = shapes[node.name]
    return [
        ("Mul", {}, [], START),
        ("ReduceMean", {"axes": [2, 3], "keepdims": 1}, [], None),
        ("Add", {}, [np.array(node.attrs["eps"], np.float32)], None),
        ("Sqrt", {}, [], None),
        ("Reciprocal", {}, [], None),
        ("Mul", {}, [], START),
        *_affine(node, out),
        *_per_channel(node, "tau", "Max", out),
    ]


def _pad2d(node: Node, shapes: Shapes) -> list[Link]:
    left, right, top, bottom = border_of(node.attrs, shapes[node.inputs[0]][-2:])
    mode = "reflect" if node.attrs.get("mode") == "reflect" else "constant"
    return [("Pad", {"mode": mode}, [np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)], None)]


CHAINS: Mapping[str, Callable[[Node, Shapes], list[Link]]] = MappingProxyType(
    {
        "group_norm": _group_norm,
        "layer_norm2d": _layer_norm2d,
        "filter_response_norm": _filter_response_norm,
        "prelu": lambda node, shapes: _per_channel(node, "weight", "PRelu", shapes[node.name]),
        "pad2d": _pad2d,
    }
)
