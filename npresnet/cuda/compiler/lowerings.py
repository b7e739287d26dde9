"""Every operation of the GPU backend: the one table that a new one is added to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.cuda.activation import NAMES
from npresnet.cuda.launchers.activation import ActivationLowering
from npresnet.cuda.launchers.add import AddLowering
from npresnet.cuda.launchers.avg_pool2d import AvgPool2dLowering
from npresnet.cuda.launchers.avg_pool3d import AvgPool3dLowering
from npresnet.cuda.launchers.batch_norm import BatchNormLowering
from npresnet.cuda.launchers.conv2d import Conv2dLowering
from npresnet.cuda.launchers.conv2d_max_pool2d import Conv2dMaxPool2dLowering
from npresnet.cuda.launchers.conv3d import Conv3dLowering
from npresnet.cuda.launchers.global_avg_pool import GlobalAvgPoolLowering
from npresnet.cuda.launchers.layout import FlattenLowering
from npresnet.cuda.launchers.linear import LinearLowering
from npresnet.cuda.launchers.lowering import Lowering
from npresnet.cuda.launchers.max_pool2d import MaxPool2dLowering
from npresnet.cuda.launchers.max_pool3d import MaxPool3dLowering
from npresnet.cuda.launchers.multiply import MultiplyLowering
from npresnet.cuda.launchers.shortcut_a import ShortcutALowering
from npresnet.network import Node
from npresnet.plan.lowering import find_lowering

LOWERINGS: Mapping[str, Lowering] = MappingProxyType(
    {
        "conv2d": Conv2dLowering(),
        "conv2d_max_pool2d": Conv2dMaxPool2dLowering(),
        "batch_norm": BatchNormLowering(),
        "max_pool2d": MaxPool2dLowering(),
        "avg_pool2d": AvgPool2dLowering(),
        "global_avg_pool": GlobalAvgPoolLowering(),
        "flatten": FlattenLowering(),
        "linear": LinearLowering(),
        "add": AddLowering(),
        "multiply": MultiplyLowering(),
        "shortcut_a": ShortcutALowering(),
        "conv3d": Conv3dLowering(),
        "max_pool3d": MaxPool3dLowering(),
        "avg_pool3d": AvgPool3dLowering(),
        **{name: ActivationLowering() for name in NAMES},
    }
)


def lowering_of(node: Node) -> Lowering:
    """The node's lowering. Raises ArchitectureError for an operation or activation that this backend lacks."""
    return find_lowering(LOWERINGS, node, "GPU")
