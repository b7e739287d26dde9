"""Gates, split attention, slices and attention pools in PyTorch's own functions, for `torch_graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from npresnet.network import Node

if TYPE_CHECKING:
    import torch


def multiply(x: torch.Tensor, gate: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
    """A product with a map, one number a channel or a position."""
    return sum(residual, x * _stretched(x, gate))


def broadcast_add(x: torch.Tensor, shift: torch.Tensor, *residual: torch.Tensor) -> torch.Tensor:
    """A sum of the same kind."""
    return sum(residual, x + _stretched(x, shift))


def _stretched(x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    return gate if gate.ndim == x.ndim else gate[:, :, None, None]


def slice_channels(x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    return x[:, start:stop]


def concat(*values: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat(values, 1)


def global_max_pool(x: torch.Tensor) -> torch.Tensor:
    return x.amax((2, 3), keepdim=True)


def channel_mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean(1, keepdim=True)


def channel_max(x: torch.Tensor) -> torch.Tensor:
    return x.amax(1, keepdim=True)


def radix_sum(x: torch.Tensor, radix: int) -> torch.Tensor:
    return x.unflatten(1, (radix, -1)).sum(1)


def radix_softmax(x: torch.Tensor, radix: int, cardinality: int = 1) -> torch.Tensor:
    if radix == 1:
        return x.sigmoid()
    logits = x.reshape(len(x), cardinality, radix, -1).transpose(1, 2)
    return logits.softmax(1).reshape(x.shape)


def radix_weighted_sum(x: torch.Tensor, weights: torch.Tensor, radix: int) -> torch.Tensor:
    return radix_sum(multiply(x, weights), radix)


def spatial_attention_pool(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    attention = logits.flatten(2).softmax(2)  # (N, 1, H*W)
    return (x.flatten(2) @ attention.transpose(1, 2))[..., None]


def channel_conv1d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, padding_mode: str = "zeros"
) -> torch.Tensor:
    """A Conv1d over the channels of (N, C, 1, 1) or (N, C)."""
    from torch.nn import functional

    half = weight.shape[2] // 2
    row = functional.pad(x.flatten(1)[:, None], (half, half), "constant" if padding_mode == "zeros" else padding_mode)
    return functional.conv1d(row, weight, bias).reshape(x.shape)


def attention_pool2d(x: torch.Tensor, num_heads: int, pos_embed: torch.Tensor, **params: torch.Tensor) -> torch.Tensor:
    """CLIP's attention pool with PyTorch's scaled dot product attention."""
    import torch
    from torch.nn import functional

    tokens = x.flatten(2).transpose(1, 2)  # (N, H*W, C)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + pos_embed

    def linear(role: str, rows: torch.Tensor) -> torch.Tensor:
        return functional.linear(rows, params[f"{role}_weight"], params.get(f"{role}_bias"))

    q, k, v = (
        linear(role, rows).unflatten(2, (num_heads, -1)).transpose(1, 2)
        for role, rows in (("q", tokens[:, :1]), ("k", tokens), ("v", tokens))
    )
    pooled = functional.scaled_dot_product_attention(q, k, v).flatten(1)
    return linear("proj", pooled) if "proj_weight" in params else pooled


FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            multiply,
            broadcast_add,
            slice_channels,
            concat,
            global_max_pool,
            channel_mean,
            channel_max,
            radix_sum,
            radix_softmax,
            radix_weighted_sum,
            spatial_attention_pool,
            channel_conv1d,
            attention_pool2d,
        )
    }
)
ATTRS = ("start", "stop", "radix", "cardinality", "padding_mode", "num_heads")  # what the functions take beside values


def options_of(node: Node) -> dict[str, Any]:
    """The further arguments of the function of a node, but for its parameters, which have their own names."""
    return {name: node.attrs[name] for name in ATTRS if name in node.attrs}
