"""The lowering of every operation on the CPU: a new operation is added to this table only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.cpu.compiler.conv2d import Conv2dLowering
from npresnet.cpu.compiler.conv3d import Conv3dLowering
from npresnet.cpu.kernels import calls
from npresnet.cpu.kernels.activations import NAMES, ActivationLowering
from npresnet.cpu.kernels.attention_pool2d import AttentionPool2dLowering
from npresnet.cpu.kernels.channels import (
    ChannelConv1dLowering,
    ChannelMaxLowering,
    ChannelMeanLowering,
    ConcatLowering,
    SliceChannelsLowering,
)
from npresnet.cpu.kernels.gates import GateLowering
from npresnet.cpu.kernels.global_pooling import (
    GlobalAvgPoolLowering,
    GlobalMaxPoolLowering,
    SpatialAttentionPoolLowering,
)
from npresnet.cpu.kernels.head import FlattenLowering, LinearLowering
from npresnet.cpu.kernels.layer_norm2d import LayerNorm2dLowering
from npresnet.cpu.kernels.lowering import Lowering
from npresnet.cpu.kernels.norms import EvoNormS0Lowering, FilterResponseNormLowering, GroupNormLowering
from npresnet.cpu.kernels.pad2d import Pad2dLowering
from npresnet.cpu.kernels.pointwise import AddLowering, BatchNormLowering, PReLULowering, ShortcutALowering
from npresnet.cpu.kernels.pooling import AvgPoolLowering, MaxPoolLowering
from npresnet.cpu.kernels.radix import RadixSoftmaxLowering, RadixSumLowering, RadixWeightedSumLowering
from npresnet.cpu.kernels.stem import StemLowering
from npresnet.network import Node
from npresnet.plan.lowering import find_lowering

LOWERINGS: Mapping[str, Lowering] = MappingProxyType(
    {
        "conv2d": Conv2dLowering(),
        "conv2d_max_pool2d": StemLowering(),
        "batch_norm": BatchNormLowering(),
        "group_norm": GroupNormLowering(),
        "layer_norm2d": LayerNorm2dLowering(),
        "filter_response_norm": FilterResponseNormLowering(),
        "evo_norm_s0": EvoNormS0Lowering(),
        "prelu": PReLULowering(),
        "pad2d": Pad2dLowering(),
        "max_pool2d": MaxPoolLowering(),
        "avg_pool2d": AvgPoolLowering(),
        "global_avg_pool": GlobalAvgPoolLowering(),
        "global_max_pool": GlobalMaxPoolLowering(),
        "spatial_attention_pool": SpatialAttentionPoolLowering(),
        "attention_pool2d": AttentionPool2dLowering(),
        "flatten": FlattenLowering(),
        "linear": LinearLowering(),
        "add": AddLowering(),
        "multiply": GateLowering(calls.multiply),
        "broadcast_add": GateLowering(calls.add),
        "shortcut_a": ShortcutALowering(),
        "conv3d": Conv3dLowering(),
        "max_pool3d": MaxPoolLowering(),
        "avg_pool3d": AvgPoolLowering(),
        "channel_conv1d": ChannelConv1dLowering(),
        "channel_mean": ChannelMeanLowering(),
        "channel_max": ChannelMaxLowering(),
        "slice_channels": SliceChannelsLowering(),
        "concat": ConcatLowering(),
        "radix_sum": RadixSumLowering(),
        "radix_softmax": RadixSoftmaxLowering(),
        "radix_weighted_sum": RadixWeightedSumLowering(),
        **{name: ActivationLowering(name) for name in NAMES},
    }
)


def lowering_of(node: Node) -> Lowering:
    """The node's lowering. Raises ArchitectureError for an operation or activation that this backend lacks."""
    return find_lowering(LOWERINGS, node, "CPU")
