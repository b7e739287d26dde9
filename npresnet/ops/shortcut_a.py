"""Option A: a shortcut without weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.network import Array, Node
from npresnet.ops.record import Operation, Shape, map_shape
from npresnet.ops.windows import check_map
from npresnet.window import Window


def shortcut_a(x: Array, *, stride: int, pad_channels: Sequence[int]) -> Array:
    """Take every stride-th pixel (of a clip every stride-th frame, too), and add channels of zeros.

    out[n, before + c, i, j] = x[n, c, i*stride, j*stride], and 0 in the channels before and after

    x             (N, C, H, W)                any float dtype, also that of the result; or clips (N, C, T, H, W)
    pad_channels  (before, after)
    returns       (N, before + C + after, ceil(H/stride), ceil(W/stride))

    Cost: a copy. Raises ShapeError unless x has four or five axes. Source: He et al. 2016, "Deep Residual Learning",
    section 3.3, option A; zeros half before and half after as in akamaster's CIFAR ResNets.
    """
    x = np.asarray(x)
    check_map(x)
    taken = x[(slice(None),) * 2 + (slice(None, None, stride),) * (x.ndim - 2)]
    return np.pad(taken, [(0, 0), tuple(pad_channels), *[(0, 0)] * (x.ndim - 2)])


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    channels, *size = map_shape(inputs[0])
    stride, (before, after) = node.attrs["stride"], node.attrs["pad_channels"]
    return (before + channels + after, *(-(-n // stride) for n in size))


SHORTCUT_A = Operation(
    name="shortcut_a",
    label="option A shortcut",
    title="",
    compute=lambda node, x: shortcut_a(x, stride=node.attrs["stride"], pad_channels=node.attrs["pad_channels"]),
    infer_shape=_infer_shape,
    sees=lambda node, index, shape: Window.of(1, node.attrs["stride"], axes=len(shape) - 1),
)
