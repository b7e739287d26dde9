"""Average pool: the mean of each window, per channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.max_pool2d import pooled_shape
from npresnet.ops.record import Operation, sees_window, window_of
from npresnet.ops.windows import check_image, check_padding, sliding_windows
from npresnet.window import Window


def avg_pool2d(
    x: Array,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window: the sum, then one division.

    out[n,c,i,j] = (sum over u,v of x[n, c, i*s + u - p, j*s + v - p]) / count[i,j]

    x                  (N, C, H, W)    any float dtype, also that of the result; outside the image x is 0
    ceil_mode                          round the output size up, which includes a last, partly empty window
    count_include_pad                  True: count[i,j] is the part of the window inside the padded image (without the
                                       positions added by ceil_mode); False: the part inside the image
    returns            (N, C, OH, OW)

    Cost: N * C * OH*OW * KH*KW additions. Raises ShapeError like max_pool2d. Source: PyTorch, torch.nn.AvgPool2d.
    """
    x = np.asarray(x)
    check_image(x)
    window = Window.of(kernel_size, stride, padding)
    check_padding(window)
    out_size = window.output_size(x.shape[2:], ceil_mode=ceil_mode)
    sums = sliding_windows(x, window, out_size, fill=0).sum(axis=(4, 5))  # (N, C, OH, OW)
    rows, columns = (
        counted(window, axis, x.shape[2 + axis], out_size[axis], count_include_pad) for axis in (0, 1)
    )  # (OH,), (OW,)
    return sums / np.outer(rows, columns).astype(x.dtype)


def counted(window: Window, axis: int, size: int, out_size: int, include_pad: bool) -> list[int]:
    """The number of positions counted in each window along one axis."""
    padding = window.padding[axis] if include_pad else 0
    ranges = (window.input_range(axis, i, i + 1) for i in range(out_size))
    return [min(stop, size + padding) - max(first, -padding) for first, stop in ranges]


def undilated(node: Node) -> Window:
    """A node's window. Raises ShapeError if it is dilated, which no average pool is."""
    window = window_of(node)
    if max(window.dilation) > 1:
        raise ShapeError(f"does not support a dilated window, got {window}")
    return window


def compute_avg_pool(pool: Callable[..., Array], node: Node, x: Array) -> Array:
    """`avg_pool2d` or `avg_pool3d` with a node's window."""
    window = undilated(node)
    return pool(
        x,
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        ceil_mode=node.attrs.get("ceil_mode", False),
        count_include_pad=node.attrs.get("count_include_pad", True),
    )


AVG_POOL2D = Operation(
    name="avg_pool2d",
    label="average pool",
    title="AvgPool2d",
    compute=partial(compute_avg_pool, avg_pool2d),
    infer_shape=lambda node, inputs: pooled_shape(node, inputs[0], undilated(node)),
    sees=sees_window,
)
