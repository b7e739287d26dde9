"""Option A: a shortcut without weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npresnet.network import Array
from npresnet.ops.windows import check_image


def shortcut_a(x: Array, *, stride: int, pad_channels: Sequence[int]) -> Array:
    """Take every stride-th pixel, and make up for missing channels with zeros.

    out[n, before + c, i, j] = x[n, c, i*stride, j*stride], and 0 in the channels before and after

    x             (N, C, H, W)                any float dtype, which the result keeps
    pad_channels  (before, after)
    returns       (N, before + C + after, ceil(H/stride), ceil(W/stride))

    Cost: a copy. Raises ShapeError where x has not four axes. Source: He et al. 2016, "Deep Residual Learning", section
    3.3, option A; where the zeros go follows akamaster's CIFAR ResNets: half before, half after.
    """
    x = np.asarray(x)
    check_image(x)
    before, after = pad_channels
    return np.pad(x[:, :, ::stride, ::stride], [(0, 0), (before, after), (0, 0), (0, 0)])
