"""Every operation of the GPU backend: the one table that a new one is added to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.cuda.activation import NAMES
from npresnet.cuda.launchers.activation import ActivationLowering
from npresnet.cuda.launchers.add import AddLowering
from npresnet.cuda.launchers.attention_pool2d import AttentionPool2dLowering
from npresnet.cuda.launchers.avg_pool2d import AvgPool2dLowering
from npresnet.cuda.launchers.avg_pool3d import AvgPool3dLowering
from npresnet.cuda.launchers.batch_norm import BatchNormLowering
from npresnet.cuda.launchers.channel_conv1d import ChannelConv1dLowering
from npresnet.cuda.launchers.channel_reduce import ChannelReduceLowering
from npresnet.cuda.launchers.conv2d import Conv2dLowering
from npresnet.cuda.launchers.conv2d_max_pool2d import Conv2dMaxPool2dLowering
from npresnet.cuda.launchers.conv3d import Conv3dLowering
from npresnet.cuda.launchers.copy_channels import ConcatLowering, SliceChannelsLowering
from npresnet.cuda.launchers.evo_norm_s0 import EvoNormS0Lowering
from npresnet.cuda.launchers.filter_response_norm import FilterResponseNormLowering
from npresnet.cuda.launchers.global_avg_pool import GlobalAvgPoolLowering
from npresnet.cuda.launchers.global_max_pool import GlobalMaxPoolLowering
from npresnet.cuda.launchers.group_norm import GroupNormLowering
from npresnet.cuda.launchers.layer_norm2d import LayerNorm2dLowering
from npresnet.cuda.launchers.layout import FlattenLowering
from npresnet.cuda.launchers.linear import LinearLowering
from npresnet.cuda.launchers.lowering import Lowering
from npresnet.cuda.launchers.max_pool2d import MaxPool2dLowering
from npresnet.cuda.launchers.max_pool3d import MaxPool3dLowering
from npresnet.cuda.launchers.multiply import GateLowering
from npresnet.cuda.launchers.pad2d import Pad2dLowering
from npresnet.cuda.launchers.prelu import PReLULowering
from npresnet.cuda.launchers.radix_softmax import RadixSoftmaxLowering
from npresnet.cuda.launchers.radix_sum import RadixSumLowering
from npresnet.cuda.launchers.shortcut_a import ShortcutALowering
from npresnet.cuda.launchers.spatial_attention_pool import SpatialAttentionPoolLowering
from npresnet.network import Node
from npresnet.plan.lowering import find_lowering

LOWERINGS: Mapping[str, Lowering] = MappingProxyType(
    {
        "conv2d": Conv2dLowering(),
        "conv2d_max_pool2d": Conv2dMaxPool2dLowering(),
        "batch_norm": BatchNormLowering(),
        "group_norm": GroupNormLowering(),
        "layer_norm2d": LayerNorm2dLowering(),
        "filter_response_norm": FilterResponseNormLowering(),
        "evo_norm_s0": EvoNormS0Lowering(),
        "prelu": PReLULowering(),
        "pad2d": Pad2dLowering(),
        "max_pool2d": MaxPool2dLowering(),
        "avg_pool2d": AvgPool2dLowering(),
        "global_avg_pool": GlobalAvgPoolLowering(),
        "flatten": FlattenLowering(),
        "linear": LinearLowering(),
        "add": AddLowering(),
        "multiply": GateLowering("multiply", is_sum=False),
        "broadcast_add": GateLowering("shift", is_sum=True),
        "shortcut_a": ShortcutALowering(),
        "conv3d": Conv3dLowering(),
        "max_pool3d": MaxPool3dLowering(),
        "avg_pool3d": AvgPool3dLowering(),
        "global_max_pool": GlobalMaxPoolLowering(),
        "spatial_attention_pool": SpatialAttentionPoolLowering(),
        "attention_pool2d": AttentionPool2dLowering(),
        "channel_conv1d": ChannelConv1dLowering(),
        "channel_mean": ChannelReduceLowering(is_max=False),
        "channel_max": ChannelReduceLowering(is_max=True),
        "slice_channels": SliceChannelsLowering(),
        "concat": ConcatLowering(),
        "radix_sum": RadixSumLowering(),
        "radix_softmax": RadixSoftmaxLowering(),
        "radix_weighted_sum": RadixSumLowering(),
        **{name: ActivationLowering() for name in NAMES},
    }
)


def lowering_of(node: Node) -> Lowering:
    """The node's lowering. Raises ArchitectureError for an operation or activation that this backend lacks."""
    return find_lowering(LOWERINGS, node, "GPU")
