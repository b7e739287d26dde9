"""Max pool over time, height and width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, clip_shape, sees_window, window_of
from npresnet.ops.windows import check_clip, check_padding, sliding_windows
from npresnet.window import Window


def max_pool3d(
    x: Array,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Array:
    """The maximum of each window.

    out[n,c,t,i,j] = max over k,u,v of x[n, c, t*s + k*d - p, i*s + u*d - p, j*s + v*d - p]

    x          (N, C, T, H, W)    any float dtype, also that of the result; outside the clip x is -inf. NaN in a window
                                  gives NaN
    ceil_mode                     round the output size up, which includes a last, partly empty window
    returns    (N, C, OT, OH, OW)

    Cost: N * C * OT*OH*OW * KT*KH*KW comparisons. Raises ShapeError like `max_pool2d`. Source: torch.nn.MaxPool3d.
    """
    x = np.asarray(x)
    check_clip(x)
    window = Window.of(kernel_size, stride, padding, dilation, axes=3)
    check_padding(window)
    out_size = window.output_size(x.shape[2:], ceil_mode=ceil_mode)
    return sliding_windows(x, window, out_size, fill=-np.inf).max(axis=(5, 6, 7))


def pooled_clip_shape(node: Node, shape: Shape, window: Window) -> Shape:
    """The shape of a pool's result for a clip of `shape`. Raises ShapeError."""
    channels, *size = clip_shape(shape)
    check_padding(window)
    return (channels, *window.output_size(size, ceil_mode=node.attrs.get("ceil_mode", False)))


def _compute(node: Node, x: Array) -> Array:
    window, ceil_mode = window_of(node), node.attrs.get("ceil_mode", False)
    where = {"stride": window.stride, "padding": window.padding, "dilation": window.dilation}
    return max_pool3d(x, window.kernel_size, **where, ceil_mode=ceil_mode)


MAX_POOL3D = Operation(
    name="max_pool3d",
    label="3-D max pool",
    title="MaxPool3d",
    compute=_compute,
    infer_shape=lambda node, inputs: pooled_clip_shape(node, inputs[0], window_of(node)),
    sees=sees_window,
)
