"""Average pool over time, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.avg_pool2d import counted
from npresnet.ops.max_pool3d import pooled_clip_shape
from npresnet.ops.record import Operation, Shape, sees_window, window_of
from npresnet.ops.windows import check_clip, check_padding, sliding_windows
from npresnet.window import Window


def avg_pool3d(
    x: Array,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window: the sum, then one division.

    out[n,c,t,i,j] = (sum over k,u,v of x[n, c, t*s + k - p, i*s + u - p, j*s + v - p]) / count[t,i,j]

    x                  (N, C, T, H, W)    any float dtype, also that of the result; outside the clip x is 0
    ceil_mode, count_include_pad          as in `avg_pool2d`
    returns            (N, C, OT, OH, OW)

    Cost: N * C * OT*OH*OW * KT*KH*KW additions. Raises ShapeError like `max_pool2d`. Source: torch.nn.AvgPool3d.
    """
    x = np.asarray(x)
    check_clip(x)
    window = Window.of(kernel_size, stride, padding, axes=3)
    check_padding(window)
    out_size = window.output_size(x.shape[2:], ceil_mode=ceil_mode)
    sums = sliding_windows(x, window, out_size, fill=0).sum(axis=(5, 6, 7))  # (N, C, OT, OH, OW)
    counts = [counted(window, axis, x.shape[2 + axis], out_size[axis], count_include_pad) for axis in range(3)]
    return sums / reduce(np.multiply.outer, map(np.array, counts)).astype(x.dtype)


def _window_of(node: Node) -> Window:
    window = window_of(node)
    if max(window.dilation) > 1:
        raise ShapeError(f"does not support a dilated window, got {window}")
    return window


def _compute(node: Node, x: Array) -> Array:
    window = _window_of(node)
    return avg_pool3d(
        x,
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        ceil_mode=node.attrs.get("ceil_mode", False),
        count_include_pad=node.attrs.get("count_include_pad", True),
    )


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    return pooled_clip_shape(node, inputs[0], _window_of(node))


AVG_POOL3D = Operation(
    name="avg_pool3d",
    label="3-D average pool",
    title="AvgPool3d",
    compute=_compute,
    infer_shape=_infer_shape,
    sees=sees_window,
)
