"""The mathematics in plain NumPy: pure, allocating, readable. The specification, and the first oracle of every backend.

A legend for all files: N images, C channels, H height, W width in; O channels, OH, OW out; KH, KW the kernel; G groups;
s, p, d stride, padding, dilation; L = OH*OW positions of the window.

`ops.winograd` derives the fast algorithms for 3x3 windows, with `ops.polyphase` those of stride 2. They specify no
operation: they compute conv2d another way.
"""

from __future__ import annotations

from npresnet.ops.batch_norm import batch_norm
from npresnet.ops.conv2d import conv2d, im2col
from npresnet.ops.elementwise import add, flatten, relu
from npresnet.ops.linear import linear
from npresnet.ops.pooling import avg_pool2d, global_avg_pool, max_pool2d
from npresnet.ops.run import folded_weight, run
from npresnet.ops.shortcut import shortcut_a
from npresnet.ops.softmax import softmax

__all__ = [
    "add",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "flatten",
    "folded_weight",
    "global_avg_pool",
    "im2col",
    "linear",
    "max_pool2d",
    "relu",
    "run",
    "shortcut_a",
    "softmax",
]
