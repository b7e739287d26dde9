"""The operations in plain NumPy: pure functions, the specification and first oracle of every backend.

One file per operation: its function and its record (`record.Operation`), which describes it to the rest of the project.
`registry` lists them, `run` interprets a network with them.

Notation in all files: N images, C channels, H height, W width of the input; O channels, OH, OW of the output; KH, KW
kernel_size; of clips also T, OT frames and KT; G groups; s, p, d stride, padding, dilation; L = OH*OW positions of the
window.

`ops.winograd` derives the fast algorithms for 3x3 windows, `ops.polyphase` those with stride 2. They are not
operations but other ways to compute conv2d.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npresnet.ops.activations import relu
    from npresnet.ops.add import add
    from npresnet.ops.attention_pool2d import attention_pool2d
    from npresnet.ops.avg_pool2d import avg_pool2d
    from npresnet.ops.avg_pool3d import avg_pool3d
    from npresnet.ops.batch_norm import batch_norm
    from npresnet.ops.broadcast_add import broadcast_add
    from npresnet.ops.channel_conv1d import channel_conv1d
    from npresnet.ops.channel_max import channel_max
    from npresnet.ops.channel_mean import channel_mean
    from npresnet.ops.concat import concat
    from npresnet.ops.conv2d import conv2d, im2col
    from npresnet.ops.conv3d import conv3d
    from npresnet.ops.convolution import folded_weight
    from npresnet.ops.evo_norm_s0 import evo_norm_s0
    from npresnet.ops.filter_response_norm import filter_response_norm
    from npresnet.ops.flatten import flatten
    from npresnet.ops.global_avg_pool import global_avg_pool
    from npresnet.ops.global_max_pool import global_max_pool
    from npresnet.ops.group_norm import group_norm
    from npresnet.ops.layer_norm2d import layer_norm2d
    from npresnet.ops.linear import linear
    from npresnet.ops.max_pool2d import max_pool2d
    from npresnet.ops.max_pool3d import max_pool3d
    from npresnet.ops.multiply import multiply
    from npresnet.ops.pad2d import pad2d
    from npresnet.ops.prelu import prelu
    from npresnet.ops.radix_softmax import radix_softmax
    from npresnet.ops.radix_sum import radix_sum
    from npresnet.ops.radix_weighted_sum import radix_weighted_sum
    from npresnet.ops.record import Activation, Operation, Shape
    from npresnet.ops.registry import ACTIVATIONS, OPERATIONS, activation_of, operation_of
    from npresnet.ops.run import run
    from npresnet.ops.shortcut_a import shortcut_a
    from npresnet.ops.slice_channels import slice_channels
    from npresnet.ops.softmax import softmax
    from npresnet.ops.spatial_attention_pool import spatial_attention_pool

__all__ = [
    "ACTIVATIONS",
    "OPERATIONS",
    "Activation",
    "Operation",
    "Shape",
    "activation_of",
    "add",
    "attention_pool2d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "broadcast_add",
    "channel_conv1d",
    "channel_max",
    "channel_mean",
    "concat",
    "conv2d",
    "conv3d",
    "evo_norm_s0",
    "filter_response_norm",
    "flatten",
    "folded_weight",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "im2col",
    "layer_norm2d",
    "linear",
    "max_pool2d",
    "max_pool3d",
    "multiply",
    "operation_of",
    "pad2d",
    "prelu",
    "radix_softmax",
    "radix_sum",
    "radix_weighted_sum",
    "relu",
    "run",
    "shortcut_a",
    "slice_channels",
    "softmax",
    "spatial_attention_pool",
]

_HOME = {  # the files of those that are not called like their file
    "ACTIVATIONS": "registry",
    "Activation": "record",
    "OPERATIONS": "registry",
    "Operation": "record",
    "Shape": "record",
    "activation_of": "registry",
    "folded_weight": "convolution",
    "im2col": "conv2d",
    "operation_of": "registry",
    "relu": "activations",
}


class _Operations(ModuleType):
    """This package: files are imported on first access to a name, and a name is the function, not its file."""

    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME.get(name, name)}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Python binds each imported file to its name here: not where it is a function's name."""
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Operations
