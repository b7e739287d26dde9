"""Max pool: the maximum of each window, per channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, image_shape, sees_window, window_of
from npresnet.ops.windows import check_image, check_padding, sliding_windows
from npresnet.window import Window


def max_pool2d(
    x: Array,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Array:
    """The maximum of each window.

    out[n,c,i,j] = max over u,v of x[n, c, i*s + u*d - p, j*s + v*d - p]

    x          (N, C, H, W)    any float dtype, also that of the result; outside the image x is -inf rather than 0,
                               which would exceed negative values. NaN in a window gives NaN
    ceil_mode                  round the output size up, which includes a last, partly empty window
    returns    (N, C, OH, OW)

    Cost: N * C * OH*OW * KH*KW comparisons. Raises ShapeError if the padded image is smaller than the window, or the
    padding is more than half the kernel_size. Source: PyTorch, torch.nn.MaxPool2d.
    """
    x = np.asarray(x)
    check_image(x)
    window = Window.of(kernel_size, stride, padding, dilation)
    check_padding(window)
    out_size = window.output_size(x.shape[2:], ceil_mode=ceil_mode)
    windows = sliding_windows(x, window, out_size, fill=-np.inf)  # (N, C, OH, OW, KH, KW)
    return windows.max(axis=(4, 5))  # (N, C, OH, OW)


def compute_max_pool2d(node: Node, x: Array, window: Window) -> Array:
    """`max_pool2d` with this window and the node's ceil_mode."""
    return max_pool2d(
        x,
        window.kernel_size,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        ceil_mode=node.attrs.get("ceil_mode", False),
    )


def pooled_shape(node: Node, shape: Shape, window: Window) -> Shape:
    """The shape of a pool's result for an input of `shape`. Raises ShapeError."""
    channels, *size = image_shape(shape)
    check_padding(window)
    return (channels, *window.output_size(size, ceil_mode=node.attrs.get("ceil_mode", False)))


MAX_POOL2D = Operation(
    name="max_pool2d",
    label="max pool",
    title="MaxPool2d",
    compute=lambda node, x: compute_max_pool2d(node, x, window_of(node)),
    infer_shape=lambda node, inputs: pooled_shape(node, inputs[0], window_of(node)),
    sees=sees_window,
)
