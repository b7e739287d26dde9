"""Numbers per channel: how the normalisations read their parameters and refuse those of another length."""

from __future__ import annotations

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.record import Shape, flat_shape


def per_channel(x: Array, numbers: Array) -> Array:
    """(C,) -> (C, 1, 1), which broadcasts with x (N, C, H, W), in x's dtype. Raises ShapeError if C differs."""
    numbers = np.asarray(numbers, x.dtype)
    if x.ndim < 2 or numbers.shape != (x.shape[1],):
        raise ShapeError(
            f"expects {len(numbers)} channels, got {x.shape[1] if x.ndim > 1 else 'none'}\n"
            f"  input       {x.shape}   N, C, ...\n"
            f"  parameters  {numbers.shape}   C"
        )
    return numbers.reshape(-1, *[1] * (x.ndim - 2))


def scaled_and_shifted(x: Array, weight: Array | None, bias: Array | None) -> Array:
    """x * weight[c] + bias[c], without the factor or term that is None."""
    if weight is not None:
        x = x * per_channel(x, weight)
    return x if bias is None else x + per_channel(x, bias)


def same_channels(node: Node, inputs: list[Shape]) -> Shape:
    """The shape of the only input. Raises ShapeError for clips and for other channels than a parameter has."""
    shape = flat_shape(inputs[0])
    for role, numbers in node.params.items():
        if numbers.shape != shape[:1]:
            raise ShapeError(
                f"expects {len(numbers)} channels, the length of its {role} {numbers.shape}, got {shape} (C, H, W)"
            )
    return shape


def groups_of(channels: int, groups: int) -> int:
    """`groups`. Raises ShapeError unless it divides the channels."""
    if groups < 1 or channels % groups:
        raise ShapeError(f"expects a number of groups that divides its {channels} channels, got {groups}")
    return groups
