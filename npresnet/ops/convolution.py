"""What convolutions of images and of clips have in common: their checks, their shapes, their folded filters."""

from __future__ import annotations

from math import prod
from typing import Protocol

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.add import add, one_shape
from npresnet.ops.record import Shape, window_of

FILTER_AXES = {  # by the number of axes a window slides over
    2: "out_channels, in_channels/groups, kernel_height, kernel_width",
    3: "out_channels, in_channels/groups, kernel_time, kernel_height, kernel_width",
}


class Convolution(Protocol):
    """`conv2d` or `conv3d`."""

    def __call__(
        self,
        x: Array,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> Array: ...


def check_convolution(axes: str, shape: Shape, weight: Array, bias: Array | None, groups: int) -> None:
    """Raise ShapeError unless filters of this shape, with this bias, can read an input of this shape.

    axes    what the input's axes are, for example "N, C, H, W" or "C, T, H, W"
    """
    channel_axis = axes.split(", ").index("C")
    filter_axes = FILTER_AXES[len(shape) - channel_axis - 1]
    if weight.ndim != len(shape) - channel_axis + 1:
        raise ShapeError(f"expects filters ({filter_axes}), got {weight.shape}")
    out_channels, group_channels = weight.shape[:2]
    if shape[channel_axis] != group_channels * groups:
        raise ShapeError(
            f"expects {group_channels * groups} input channels, got {shape[channel_axis]}\n"
            f"  input   {shape}   {axes}\n"
            f"  weight  {weight.shape}   {filter_axes}\n"
            f"  Each filter reads in_channels/groups channels (groups = {groups})."
        )
    if groups < 1 or out_channels % groups:
        raise ShapeError(f"cannot split {out_channels} filters into {groups} groups of equal size")
    if bias is not None and np.shape(bias) != (out_channels,):
        raise ShapeError(f"expects one bias per filter, ({out_channels},), got {np.shape(bias)}")


def folded_weight(node: Node) -> Array:
    """A convolution's filters (O, C/G, ...): weight[o], or weight[o] * scale[o] in float64 with a folded BatchNorm.

    A backend that computes in float32 rounds the product once.
    """
    weight, scale = node.params["weight"], node.params.get("scale")
    if scale is None:
        return weight
    scaled: Array = np.multiply(weight, scale.reshape(-1, *[1] * (weight.ndim - 1)), dtype=np.float64)
    return scaled


def compute_convolution(convolve: Convolution, node: Node, x: Array, residual: Array | None = None) -> Array:
    """`conv(x)`, plus the residual of a fused addition; see passes.fuse."""
    weight, window = folded_weight(node), window_of(node)
    _check_kernel_size(node)
    out = convolve(
        x,
        weight,
        node.params.get("bias"),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=node.groups,
    )
    return out if residual is None else add(out, residual)


def convolved_shape(axes: str, node: Node, shape: Shape) -> Shape:
    """(O, ...) of one image or clip of this shape. Raises ShapeError."""
    weight = node.params["weight"]
    check_convolution(axes, shape, weight, node.params.get("bias"), node.groups)
    _check_kernel_size(node)
    return (len(weight), *window_of(node).output_size(shape[1:]))


def with_residual(node: Node, shape: Shape, inputs: list[Shape]) -> Shape:
    """A convolution's shape, which a residual, its second input, must have too. Raises ShapeError."""
    return shape if len(inputs) == 1 else one_shape(node, [shape, inputs[1]])


def convolution_macs(node: Node, shape: Shape) -> int:
    """Multiply-adds of a convolution whose result, before a fused pool, has this shape."""
    return prod(shape) * prod(node.params["weight"].shape[1:])


def _check_kernel_size(node: Node) -> None:
    weight, kernel_size = node.params["weight"], window_of(node).kernel_size
    if weight.shape[2:] != kernel_size:
        raise ShapeError(f"expects filters of size {kernel_size}, got weights {weight.shape}")
