"""Convolution of clips: a window slides over time, height and width.

It is a sum of 2-D convolutions: output frame t adds the convolutions of the KT frames under its window, each with the
filters of its own tap in time. (Cross-correlation, as `conv2d`.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.convolution import (
    check_convolution,
    compute_convolution,
    convolution_macs,
    convolved_shape,
    with_residual,
)
from npresnet.ops.record import Operation, Shape, clip_shape, sees_window
from npresnet.ops.windows import check_clip, sliding_windows
from npresnet.window import Window


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
    check_clip(x)
    check_convolution("N, C, T, H, W", x.shape, weight, bias, groups)
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


def _compute(node: Node, x: Array, residual: Array | None = None) -> Array:
    return compute_convolution(conv3d, node, x, residual)


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    """(O, OT, OH, OW), also the required shape of a residual. Raises ShapeError."""
    return with_residual(node, convolved_shape("C, T, H, W", node, clip_shape(inputs[0])), inputs)


CONV3D = Operation(
    name="conv3d",
    label="3-D convolution",
    title="Conv3d",
    compute=_compute,
    infer_shape=_infer_shape,
    count_macs=lambda node, inputs, out: convolution_macs(node, out),
    sees=sees_window,
    inputs=(1, 2),
    fuses=True,
)
