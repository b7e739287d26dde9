"""The mathematics in plain NumPy: pure, allocating, readable. The specification, and the first oracle of every backend.

One file an operation: its function, and its record (`record.Operation`), which says all that the rest of the project
has to know of it. `registry` lists them, `run` interprets a network with them.

A legend for all files: N images, C channels, H height, W width in; O channels, OH, OW out; KH, KW the kernel_size; G
groups; s, p, d stride, padding, dilation; L = OH*OW positions of the window.

`ops.winograd` derives the fast algorithms for 3x3 windows, with `ops.polyphase` those of stride 2. They specify no
operation: they compute conv2d another way.
"""

from __future__ import annotations

from npresnet.ops.activations import relu
from npresnet.ops.add import add
from npresnet.ops.avg_pool2d import avg_pool2d
from npresnet.ops.batch_norm import batch_norm
from npresnet.ops.conv2d import conv2d, folded_weight, im2col
from npresnet.ops.flatten import flatten
from npresnet.ops.global_avg_pool import global_avg_pool
from npresnet.ops.linear import linear
from npresnet.ops.max_pool2d import max_pool2d
from npresnet.ops.record import Activation, Operation, Shape
from npresnet.ops.registry import ACTIVATIONS, OPERATIONS, activation_of, operation_of
from npresnet.ops.run import run
from npresnet.ops.shortcut_a import shortcut_a
from npresnet.ops.softmax import softmax

__all__ = [
    "ACTIVATIONS",
    "OPERATIONS",
    "Activation",
    "Operation",
    "Shape",
    "activation_of",
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
    "operation_of",
    "relu",
    "run",
    "shortcut_a",
    "softmax",
]
