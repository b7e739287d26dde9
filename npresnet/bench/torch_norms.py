"""Normalisations by the image itself, PReLU, padding and activations in PyTorch's own functions, for `torch_graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from npresnet.network import Node
from npresnet.ops.pad2d import border_of

if TYPE_CHECKING:
    import torch

    Vector: TypeAlias = torch.Tensor | None


def group_norm(
    x: torch.Tensor, *residual: torch.Tensor, groups: int, eps: float, weight: Vector = None, bias: Vector = None
) -> torch.Tensor:
    from torch.nn import functional

    return sum(residual, functional.group_norm(x, groups, weight, bias, eps))


def layer_norm2d(x: torch.Tensor, eps: float, weight: Vector = None, bias: Vector = None) -> torch.Tensor:
    from torch.nn import functional

    return functional.layer_norm(x.movedim(1, -1), x.shape[1:2], weight, bias, eps).movedim(-1, 1)


def filter_response_norm(
    x: torch.Tensor, eps: float, weight: Vector = None, bias: Vector = None, tau: Vector = None
) -> torch.Tensor:
    out = _affine(x * (x.square().mean((2, 3), keepdim=True) + eps).rsqrt(), weight, bias)
    return out if tau is None else out.maximum(tau[:, None, None])


def evo_norm_s0(
    x: torch.Tensor, groups: int, eps: float, v: torch.Tensor, weight: Vector = None, bias: Vector = None
) -> torch.Tensor:
    grouped = x.flatten(2).unflatten(1, (groups, -1))  # (N, G, C/G, H*W)
    deviation = (grouped.var((2, 3), unbiased=False, keepdim=True) + eps).sqrt().expand_as(grouped)
    return _affine(x * (x * v[:, None, None]).sigmoid() / deviation.reshape(x.shape), weight, bias)


def _affine(x: torch.Tensor, weight: Vector, bias: Vector) -> torch.Tensor:
    x = x if weight is None else x * weight[:, None, None]
    return x if bias is None else x + bias[:, None, None]


def prelu(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.prelu(x, weight)


def pad2d(x: torch.Tensor, mode: str = "zeros", **border: Any) -> torch.Tensor:
    from torch.nn import functional

    return functional.pad(x, list(border_of(border, x.shape[2:])), "constant" if mode == "zeros" else mode)


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1.702 * x).sigmoid()


def hard_mish(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (x + 2).clamp(0, 2)


NORMS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        function.__name__: function
        for function in (group_norm, layer_norm2d, filter_response_norm, evo_norm_s0, prelu, pad2d)
    }
)
ATTRS = ("groups", "eps", "padding", "same", "mode")  # what the functions take beside values and parameters

# our name -> that of torch.nn.functional
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "relu": "relu",
        "relu6": "relu6",
        "leaky_relu": "leaky_relu",
        "hard_sigmoid": "hardsigmoid",
        "hard_swish": "hardswish",
        "sigmoid": "sigmoid",
        "silu": "silu",
        "gelu": "gelu",
        "gelu_tanh": "gelu",
        "tanh": "tanh",
        "elu": "elu",
        "celu": "celu",
        "selu": "selu",
        "mish": "mish",
    }
)
WRITTEN_HERE: Mapping[str, Callable[..., Any]] = MappingProxyType({"quick_gelu": quick_gelu, "hard_mish": hard_mish})
NEVER_IN_PLACE = ("gelu", "gelu_tanh", "sigmoid", "tanh")


def activation_options(name: str, node: Node, *, inplace: bool) -> dict[str, Any]:
    """The arguments of an activation's function beside the value."""
    options = {key: node.attrs[key] for key in ("negative_slope", "alpha") if key in node.attrs}
    if name == "gelu_tanh":
        options["approximate"] = "tanh"
    return options if name in NEVER_IN_PLACE else {**options, "inplace": inplace}
