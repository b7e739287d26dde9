"""Convolution of clips: a window slides over time, height and width.

It is a sum of 2-D convolutions: output frame t adds the convolutions of the KT frames under its window, each with the
filters of its own tap in time. (Cross-correlation, as `conv2d`.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.add import add, one_shape
from npresnet.ops.conv2d import conv2d_macs
from npresnet.ops.record import Operation, Shape, clip_shape, sees_window, window_of
from npresnet.ops.windows import check_clip, sliding_windows
from npresnet.window import Window

WEIGHT_AXES = "out_channels, in_channels/groups, kernel_time, kernel_height, kernel_width"


def conv3d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Array:
    """Convolve clips with filters; each output is one dot product over time, height and width.

    out[n,o,t,i,j] = bias[o] + sum over c,k,u,v of weight[o,c,k,u,v]
                               * x[n, g(o)*C/G + c, t*s + k*d - p, i*s + u*d - p, j*s + v*d - p]

    x        (N, C, T, H, W)         any float dtype, also that of the result; outside the clip x is 0
    weight   (O, C/G, KT, KH, KW)    G = groups, g(o) = o // (O/G)
    bias     (O,)                    optional
    stride, padding, dilation        one number, or (time, height, width)
    returns  (N, O, OT, OH, OW)      Window.output_size((T, H, W))

    Cost: N * O*OT*OH*OW * C/G*KT*KH*KW multiply-adds. Raises ShapeError if the channels differ or the padded clip is
    smaller than the window. Source: PyTorch, torch.nn.Conv3d.
    """
    x, weight = np.asarray(x), np.asarray(weight)
    _check(x, weight, bias, groups)
    window = Window.of(weight.shape[2:], stride, padding, dilation, axes=3)
    out_size = window.output_size(x.shape[2:])
    windows = sliding_windows(x, window, out_size, fill=0)  # (N, C, OT, OH, OW, KT, KH, KW), no copy yet
    filters = weight.astype(x.dtype, copy=False)
    N, O, G = len(x), len(weight), groups  # noqa: E741  the equation's letters

    out = np.zeros((N, G, O // G, np.prod(out_size, dtype=int)), x.dtype)
    for k in range(window.kernel_size[0]):  # one tap in time at a time: its columns are KT times smaller than all
        taps_first = windows[..., k, :, :].transpose(0, 1, 5, 6, 2, 3, 4)  # (N, C, KH, KW, OT, OH, OW)
        columns = taps_first.reshape(N, G, -1, out.shape[-1])  # (N, G, C/G*KH*KW, L), the copy
        out += filters[:, :, k].reshape(G, O // G, -1) @ columns  # (G, O/G, K) @ (N, G, K, L) -> (N, G, O/G, L)
    out = out.reshape(N, O, *out_size)
    return out if bias is None else out + np.asarray(bias, x.dtype)[:, None, None, None]


def _check(x: Array, weight: Array, bias: Array | None, groups: int) -> None:
    check_clip(x)
    if weight.ndim != 5:
        raise ShapeError(f"expects filters ({WEIGHT_AXES}), got {weight.shape}")
    _check_channels(x.shape, weight.shape, groups, "N, C, T, H, W")
    if groups < 1 or len(weight) % groups:
        raise ShapeError(f"cannot split {len(weight)} filters into {groups} groups of equal size")
    _check_bias(len(weight), bias)


def _check_channels(shape: Shape, weight: Shape, groups: int, axes: str) -> None:
    channels = shape[axes.split(", ").index("C")]
    if channels != weight[1] * groups:
        raise ShapeError(
            f"expects {weight[1] * groups} input channels, got {channels}\n"
            f"  input   {shape}   {axes}\n"
            f"  weight  {weight}   {WEIGHT_AXES}\n"
            f"  Each filter reads in_channels/groups channels (groups = {groups})."
        )


def _check_bias(out_channels: int, bias: Array | None) -> None:
    if bias is not None and np.shape(bias) != (out_channels,):
        raise ShapeError(f"expects one bias per filter, ({out_channels},), got {np.shape(bias)}")


def folded_weight_3d(node: Node) -> Array:
    """A convolution's filters (O, C/G, KT, KH, KW), with the scale of a folded BatchNorm in float64."""
    weight, scale = node.params["weight"], node.params.get("scale")
    if scale is None:
        return weight
    scaled: Array = np.multiply(weight, scale[:, None, None, None, None], dtype=np.float64)
    return scaled


def _compute(node: Node, x: Array, residual: Array | None = None) -> Array:
    """`conv(x)`, plus the residual of a fused addition; see passes.fuse."""
    weight, window = folded_weight_3d(node), window_of(node)
    if weight.shape[2:] != window.kernel_size:
        raise ShapeError(f"expects filters of size {window.kernel_size}, got weights of shape {weight.shape}")
    out = conv3d(
        x,
        weight,
        node.params.get("bias"),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=node.groups,
    )
    return out if residual is None else add(out, residual)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    """(O, OT, OH, OW), also the required shape of a residual. Raises ShapeError."""
    weight, window = node.params["weight"], window_of(node)
    if weight.ndim != 5:
        raise ShapeError(f"expects filters ({WEIGHT_AXES}), got {weight.shape}")
    clip = clip_shape(inputs[0])
    _check_channels(clip, weight.shape, node.groups, "C, T, H, W")
    if weight.shape[2:] != window.kernel_size:
        raise ShapeError(f"expects filters of size {window.kernel_size}, got weights {weight.shape}")
    _check_bias(len(weight), node.params.get("bias"))
    shape = (len(weight), *window.output_size(clip[1:]))
    return shape if len(inputs) == 1 else one_shape(node, [shape, inputs[1]])


CONV3D = Operation(
    name="conv3d",
    label="3-D convolution",
    title="Conv3d",
    compute=_compute,
    infer_shape=_infer_shape,
    count_macs=lambda node, inputs, out: conv2d_macs(node, out),
    sees=sees_window,
    inputs=(1, 2),
    fuses=True,
)
