"""The attention blocks of timm as PyTorch modules with random weights, and as networks of ours with the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.torchvision_import import import_timm

torch = pytest.importorskip("torch", reason="torch is not installed")
CHANNELS, SIZE = 32, (9, 7)


def block(name: str) -> tuple[Any, Network]:
    """(module, network) by name of `BLOCKS`; both map (N, 32, 9, 7) to one value."""
    import_timm()
    from timm import layers
    from timm.layers import cbam

    module = cbam.CbamModule(CHANNELS).eval() if name == "cbam" else MODULES[name](layers).eval()
    rng = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                spread = torch.randn(tensor.shape, generator=rng) * (0.3 if tensor.ndim > 1 else 0.1)
                tensor.copy_(1 + spread.abs() if key.endswith(("running_var", "bn.weight")) else spread)
    tensors = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    nodes = NODES[name](tensors)
    return module, Network(tuple(nodes), {"y": nodes[-1].name})


MODULES = {
    "se": lambda layers: layers.SqueezeExcite(CHANNELS),
    "eca": lambda layers: layers.EcaModule(CHANNELS),
    "circular eca": lambda layers: layers.CecaModule(CHANNELS),
    "selective kernel": lambda layers: layers.SelectiveKernel(CHANNELS, 40),
    "split attention": lambda layers: layers.SplitAttn(CHANNELS, 24, norm_layer=torch.nn.BatchNorm2d, radix=2),
    "split attention in groups": lambda layers: layers.SplitAttn(
        CHANNELS, 24, norm_layer=torch.nn.BatchNorm2d, radix=4, groups=2
    ),
    "split attention of radix 1": lambda layers: layers.SplitAttn(
        CHANNELS, 24, norm_layer=torch.nn.BatchNorm2d, radix=1
    ),
    "attention pool": lambda layers: layers.AttentionPool2d(
        CHANNELS, feat_size=SIZE, out_features=20, embed_dim=48, head_dim=16, qkv_separate=True
    ),
    "attention pool, joint": lambda layers: layers.AttentionPool2d(
        CHANNELS, feat_size=SIZE, out_features=0, head_dim=8
    ),
}


def _conv(t: dict, name: str, x: str, groups: int = 1, **fields: Any) -> Node:
    params = {role: t[f"{name}.{role}"] for role in ("weight", "bias") if f"{name}.{role}" in t}
    kernel = params["weight"].shape[2:]
    dilation = fields.pop("dilation", 1)
    window = Window.of(kernel, 1, tuple(k // 2 * dilation for k in kernel), dilation)
    return Node(name, "conv2d", (x,), window, groups, params=params, **fields)


def _norm(t: dict, name: str, x: str, **fields: Any) -> Node:
    roles = ("weight", "bias", "running_mean", "running_var")
    params = {role: t[f"{name}.{role}"] for role in roles}
    return Node(name, "batch_norm", (x,), attrs={"eps": 1e-5}, params=params, **fields)


def _se(t: dict) -> list[Node]:
    return [
        Node("pool", "global_avg_pool", (INPUT,)),
        _conv(t, "fc1", "pool", activation="relu"),
        _conv(t, "fc2", "fc1", activation="sigmoid"),
        Node("y", "multiply", (INPUT, "fc2")),
    ]


def _eca(mode: str) -> Any:
    return lambda t: [
        Node("pool", "global_avg_pool", (INPUT,)),
        Node("row", "flatten", ("pool",)),
        Node(
            "conv",
            "channel_conv1d",
            ("row" if mode == "zeros" else "pool",),
            attrs={"padding_mode": mode},
            params={"weight": t["conv.weight"]},
            activation="sigmoid",
        ),
        Node("y", "multiply", (INPUT, "conv")),
    ]


def _cbam(t: dict) -> list[Node]:
    def twice(name: str, pool: str) -> list[Node]:
        fc1 = _conv(t, "channel.fc1", pool, activation="relu").evolve(name=f"{name}.1")
        return [fc1, _conv(t, "channel.fc2", f"{name}.1").evolve(name=f"{name}.2")]

    return [
        Node("avg", "global_avg_pool", (INPUT,)),
        Node("max", "global_max_pool", (INPUT,)),
        *twice("a", "avg"),
        *twice("b", "max"),
        Node("sum", "add", ("a.2", "b.2"), activation="sigmoid"),
        Node("gated", "multiply", (INPUT, "sum")),
        Node("mean", "channel_mean", ("gated",)),
        Node("largest", "channel_max", ("gated",)),
        Node("both", "concat", ("mean", "largest")),
        _conv(t, "spatial.conv.conv", "both"),
        _norm(t, "spatial.conv.bn", "spatial.conv.conv", activation="sigmoid"),
        Node("y", "multiply", ("gated", "spatial.conv.bn")),
    ]


def _selective_kernel(t: dict) -> list[Node]:
    half = CHANNELS // 2
    paths = []
    for i in (0, 1):
        paths += [
            Node(f"half.{i}", "slice_channels", (INPUT,), attrs={"start": i * half, "stop": (i + 1) * half}),
            _conv(t, f"paths.{i}.conv", f"half.{i}", dilation=i + 1),
            _norm(t, f"paths.{i}.bn", f"paths.{i}.conv", activation="relu"),
        ]
    return [
        *paths,
        Node("x", "concat", ("paths.0.bn", "paths.1.bn")),
        Node("sum", "radix_sum", ("x",), attrs={"radix": 2}),
        Node("pool", "global_avg_pool", ("sum",)),
        _conv(t, "attn.fc_reduce", "pool"),
        _norm(t, "attn.bn", "attn.fc_reduce", activation="relu"),
        _conv(t, "attn.fc_select", "attn.bn"),
        Node("softmax", "radix_softmax", ("attn.fc_select",), attrs={"radix": 2}),
        Node("y", "radix_weighted_sum", ("x", "softmax"), attrs={"radix": 2}),
    ]


def _split_attention(radix: int, groups: int) -> Any:
    attrs = {"radix": radix, "cardinality": groups}
    return lambda t: [
        _conv(t, "conv", INPUT, groups * radix),
        _norm(t, "bn0", "conv", activation="relu"),
        Node("sum", "radix_sum", ("bn0",), attrs={"radix": radix}),
        Node("pool", "global_avg_pool", ("sum",)),
        _conv(t, "fc1", "pool", groups),
        _norm(t, "bn1", "fc1", activation="relu"),
        _conv(t, "fc2", "bn1", groups),
        Node("softmax", "radix_softmax", ("fc2",), attrs=attrs),
        Node("y", "radix_weighted_sum", ("bn0", "softmax"), attrs={"radix": radix}),
    ]


def _attention_pool(num_heads: int) -> Any:
    def nodes(t: dict) -> list[Node]:
        if "qkv.weight" in t:
            thirds = {kind: np.split(t[f"qkv.{kind}"], 3) for kind in ("weight", "bias")}
            t = t | {f"{role}.{kind}": thirds[kind][i] for i, role in enumerate("qkv") for kind in thirds}
        named = [
            (f"{role}_{kind}", f"{role}.{kind}") for role in ("q", "k", "v", "proj") for kind in ("weight", "bias")
        ]
        params = {"pos_embed": t["pos_embed"], **{ours: t[theirs] for ours, theirs in named if theirs in t}}
        return [Node("y", "attention_pool2d", (INPUT,), attrs={"num_heads": num_heads}, params=params)]

    return nodes


NODES = {
    "se": _se,
    "eca": _eca("zeros"),
    "circular eca": _eca("circular"),
    "cbam": _cbam,
    "selective kernel": _selective_kernel,
    "split attention": _split_attention(2, 1),
    "split attention in groups": _split_attention(4, 2),
    "split attention of radix 1": _split_attention(1, 1),
    "attention pool": _attention_pool(3),
    "attention pool, joint": _attention_pool(4),
}
BLOCKS = tuple(NODES)
