"""Average pool over time, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import numpy as np

from npresnet.network import Array
from npresnet.ops.avg_pool2d import compute_avg_pool, counted, undilated
from npresnet.ops.max_pool3d import pooled_clip_shape
from npresnet.ops.record import Operation, sees_window
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


AVG_POOL3D = Operation(
    name="avg_pool3d",
    label="3-D average pool",
    title="AvgPool3d",
    compute=partial(compute_avg_pool, avg_pool3d),
    infer_shape=lambda node, inputs: pooled_clip_shape(node, inputs[0], undilated(node)),
    sees=sees_window,
)
