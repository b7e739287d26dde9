"""The lowering of every operation on the CPU: a new operation is added to this table only.

Lowerings that a plain ResNet does not need are imported when a network has their operation: each costs a start a few
milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from npresnet.cpu.compiler.conv2d import Conv2dLowering
from npresnet.cpu.kernels import calls
from npresnet.cpu.kernels.activations import NAMES, ActivationLowering
from npresnet.cpu.kernels.global_pooling import GlobalAvgPoolLowering
from npresnet.cpu.kernels.head import FlattenLowering, LinearLowering
from npresnet.cpu.kernels.lowering import Lowering
from npresnet.cpu.kernels.stem import StemLowering
from npresnet.network import Node
from npresnet.plan.lowering import find_lowering
from npresnet.system.later import Later, Table


def _later(module: str, name: str, *arguments: object) -> Later[Lowering]:
    return Later(lambda: cast(Lowering, getattr(import_module(f"npresnet.cpu.{module}"), name)(*arguments)))


LOWERINGS: Mapping[str, Lowering] = Table(
    {
        "conv2d": Conv2dLowering(),
        "conv2d_max_pool2d": StemLowering(),
        "batch_norm": _later("kernels.pointwise", "BatchNormLowering"),
        "group_norm": _later("kernels.norms", "GroupNormLowering"),
        "layer_norm2d": _later("kernels.layer_norm2d", "LayerNorm2dLowering"),
        "filter_response_norm": _later("kernels.norms", "FilterResponseNormLowering"),
        "evo_norm_s0": _later("kernels.norms", "EvoNormS0Lowering"),
        "prelu": _later("kernels.pointwise", "PReLULowering"),
        "pad2d": _later("kernels.pad2d", "Pad2dLowering"),
        "max_pool2d": _later("kernels.pooling", "MaxPoolLowering"),
        "avg_pool2d": _later("kernels.pooling", "AvgPoolLowering"),
        "global_avg_pool": GlobalAvgPoolLowering(),
        "global_max_pool": _later("kernels.global_pooling", "GlobalMaxPoolLowering"),
        "spatial_attention_pool": _later("kernels.global_pooling", "SpatialAttentionPoolLowering"),
        "attention_pool2d": _later("kernels.attention_pool2d", "AttentionPool2dLowering"),
        "flatten": FlattenLowering(),
        "linear": LinearLowering(),
        "add": _later("kernels.pointwise", "AddLowering"),
        "multiply": _later("kernels.gates", "GateLowering", calls.multiply),
        "broadcast_add": _later("kernels.gates", "GateLowering", calls.add),
        "shortcut_a": _later("kernels.pointwise", "ShortcutALowering"),
        "conv3d": _later("compiler.conv3d", "Conv3dLowering"),
        "max_pool3d": _later("kernels.pooling", "MaxPoolLowering"),
        "avg_pool3d": _later("kernels.pooling", "AvgPoolLowering"),
        "channel_conv1d": _later("kernels.channels", "ChannelConv1dLowering"),
        "channel_mean": _later("kernels.channels", "ChannelMeanLowering"),
        "channel_max": _later("kernels.channels", "ChannelMaxLowering"),
        "slice_channels": _later("kernels.channels", "SliceChannelsLowering"),
        "concat": _later("kernels.channels", "ConcatLowering"),
        "radix_sum": _later("kernels.radix", "RadixSumLowering"),
        "radix_softmax": _later("kernels.radix", "RadixSoftmaxLowering"),
        "radix_weighted_sum": _later("kernels.radix", "RadixWeightedSumLowering"),
        **{name: ActivationLowering(name) for name in NAMES},
    }
)


def lowering_of(node: Node) -> Lowering:
    """The node's lowering. Raises ArchitectureError for an operation or activation that this backend lacks."""
    return find_lowering(LOWERINGS, node, "CPU")
