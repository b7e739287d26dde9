"""A small node of every operation in the registry, for tests over operations x backends x consumers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS
from npresnet.window import Window

IMAGE = (4, 9, 10)  # C, H, W of the network's image
CLIP = (4, 5, 9, 10)  # C, T, H, W of one for clips
CLIP_OPERATIONS = ("conv3d", "max_pool3d", "avg_pool3d")

Make = Callable[..., tuple[Node, ...]]


def _weight(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(-2, 3, shape).astype(np.float32)


def _one(op: str, **fields: Any) -> Make:
    return lambda **more: (Node("y", op, (INPUT,), **{**fields, **more}),)


def _norm(**more: Any) -> tuple[Node, ...]:
    ones = np.ones(IMAGE[0], np.float32)
    params = {"running_mean": ones, "running_var": 3 * ones, "weight": 2 * ones, "bias": -ones}
    return (Node("y", "batch_norm", (INPUT,), **{"attrs": {"eps": 1.0}, "params": params, **more}),)


def _vectors(op: str, *roles: str, **attrs: Any) -> Make:
    """A normalisation by the image itself; the vectors are integers, and none is 0."""
    params = {role: np.arange(1, IMAGE[0] + 1, dtype=np.float32) - 3 * n for n, role in enumerate(roles)}
    return _one(op, params=params, attrs=attrs)


def _after_flatten(**more: Any) -> tuple[Node, ...]:
    pooled = Node("pool", "global_avg_pool", (INPUT,)), Node("row", "flatten", ("pool",))
    return (*pooled, Node("y", "linear", ("row",), **{"params": {"weight": _weight(5, IMAGE[0])}, **more}))


def _sum(**more: Any) -> tuple[Node, ...]:
    return Node("a", "relu", (INPUT,)), Node("y", "add", ("a", INPUT), **more)


def _gate(**more: Any) -> tuple[Node, ...]:
    return Node("gate", "max_pool2d", (INPUT,), Window.of(IMAGE[1:])), Node("y", "multiply", (INPUT, "gate"), **more)


def _pooled(op: str, **fields: Any) -> Make:
    """On one number per channel."""
    return lambda **more: (
        Node("pool", "max_pool2d", (INPUT,), Window.of(IMAGE[1:])),
        Node("y", op, ("pool",), **{**fields, **more}),
    )


def _shifted(**more: Any) -> tuple[Node, ...]:
    pool = Node("shift", "max_pool2d", (INPUT,), Window.of(IMAGE[1:]))
    return pool, Node("y", "broadcast_add", (INPUT, "shift"), **more)


def _parts(**more: Any) -> tuple[Node, ...]:
    return Node("a", "relu", (INPUT,)), Node("y", "concat", ("a", INPUT, "a"), **more)


def _weighted(**more: Any) -> tuple[Node, ...]:
    pool = Node("weights", "max_pool2d", (INPUT,), Window.of(IMAGE[1:]))
    return pool, Node("y", "radix_weighted_sum", (INPUT, "weights"), **{"attrs": {"radix": 2}, **more})


def _context(**more: Any) -> tuple[Node, ...]:
    logits = Node("logits", "conv2d", (INPUT,), Window.of(1), params={"weight": _weight(1, IMAGE[0], 1, 1) / 8})
    return logits, Node("y", "spatial_attention_pool", (INPUT, "logits"), **more)


def _attention(**more: Any) -> tuple[Node, ...]:
    channels, height, width = IMAGE
    shapes = {"pos_embed": (1 + height * width, channels), "q_bias": (8,), "v_bias": (8,), "proj_bias": (5,)}
    shapes |= {"q_weight": (8, channels), "k_weight": (8, channels), "v_weight": (8, channels), "proj_weight": (5, 8)}
    params = {role: _weight(*shape) / 4 for role, shape in shapes.items()}
    return (Node("y", "attention_pool2d", (INPUT,), **{"attrs": {"num_heads": 2}, "params": params, **more}),)


CASES: Mapping[str, Make] = {
    "conv2d": _one("conv2d", window=Window.of(3, 2, 1), params={"weight": _weight(8, 4, 3, 3)}),
    "conv2d_max_pool2d": _one(
        "conv2d_max_pool2d",
        window=Window.of(3, 1, 1),
        params={"weight": _weight(8, 4, 3, 3)},
        attrs={"pool": Window.of(3, 2, 1), "ceil_mode": False},
    ),
    "batch_norm": _norm,
    "group_norm": _vectors("group_norm", "weight", "bias", groups=2, eps=1.0),
    "layer_norm2d": _vectors("layer_norm2d", "weight", "bias", eps=1.0),
    "filter_response_norm": _vectors("filter_response_norm", "weight", "bias", "tau", eps=1.0),
    "evo_norm_s0": _vectors("evo_norm_s0", "weight", "bias", "v", groups=2, eps=1.0),
    "prelu": _one("prelu", params={"weight": np.array([0.25, 1, 0, -2], np.float32)}),
    "pad2d": _one("pad2d", attrs={"padding": (1, 2, 3, 0), "mode": "reflect"}),
    "max_pool2d": _one("max_pool2d", window=Window.of(3, 2, 1)),
    "avg_pool2d": _one("avg_pool2d", window=Window.of(2, 2)),
    "global_avg_pool": _one("global_avg_pool"),
    "flatten": _one("flatten"),
    "linear": _after_flatten,
    "add": _sum,
    "multiply": _gate,
    "shortcut_a": _one("shortcut_a", attrs={"stride": 2, "pad_channels": (2, 2)}),
    "global_max_pool": _one("global_max_pool"),
    "channel_conv1d": _pooled("channel_conv1d", params={"weight": _weight(1, 1, 5)}),
    "broadcast_add": _shifted,
    "slice_channels": _one("slice_channels", attrs={"start": 1, "stop": 3}),
    "concat": _parts,
    "radix_sum": _one("radix_sum", attrs={"radix": 2}),
    "radix_softmax": _pooled("radix_softmax", attrs={"radix": 2, "cardinality": 2}),
    "radix_weighted_sum": _weighted,
    "channel_mean": _one("channel_mean"),
    "channel_max": _one("channel_max"),
    "spatial_attention_pool": _context,
    "attention_pool2d": _attention,
    "conv3d": _one("conv3d", window=Window.of(3, 2, 1, axes=3), params={"weight": _weight(8, 4, 3, 3, 3)}),
    "max_pool3d": _one("max_pool3d", window=Window.of(3, (1, 2, 2), 1, axes=3)),
    "avg_pool3d": _one("avg_pool3d", window=Window.of(2, 2, axes=3)),
    **{name: _one(name) for name in ACTIVATIONS},
}


def network_of(op: str, **fields: Any) -> Network:
    """A network whose node "y" is such an operation; `fields` go to that node (activation="silu")."""
    assert op in CASES, f"{op} is a new operation: give it a case in tests/support/any_node.py"
    return Network(CASES[op](**fields), {"y": "y"})


def shape_for(network: Network) -> tuple[int, ...]:
    """Of one image or clip."""
    return CLIP if network.takes_clips else IMAGE


def all_operations() -> list[str]:
    """The registry's names: creating one without a case fails."""
    return list(OPERATIONS)
