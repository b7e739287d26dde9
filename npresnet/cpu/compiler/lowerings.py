"""The lowering of every operation on the CPU: a new operation is added to this table only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.cpu.compiler.conv2d import Conv2dLowering
from npresnet.cpu.compiler.conv3d import Conv3dLowering
from npresnet.cpu.kernels.activations import NAMES, ActivationLowering
from npresnet.cpu.kernels.head import FlattenLowering, GlobalAvgPoolLowering, LinearLowering
from npresnet.cpu.kernels.lowering import Lowering
from npresnet.cpu.kernels.multiply import MultiplyLowering
from npresnet.cpu.kernels.pointwise import AddLowering, BatchNormLowering, ShortcutALowering
from npresnet.cpu.kernels.pooling import AvgPoolLowering, MaxPoolLowering
from npresnet.cpu.kernels.stem import StemLowering
from npresnet.network import Node
from npresnet.plan.lowering import find_lowering

LOWERINGS: Mapping[str, Lowering] = MappingProxyType(
    {
        "conv2d": Conv2dLowering(),
        "conv2d_max_pool2d": StemLowering(),
        "batch_norm": BatchNormLowering(),
        "max_pool2d": MaxPoolLowering(),
        "avg_pool2d": AvgPoolLowering(),
        "global_avg_pool": GlobalAvgPoolLowering(),
        "flatten": FlattenLowering(),
        "linear": LinearLowering(),
        "add": AddLowering(),
        "multiply": MultiplyLowering(),
        "shortcut_a": ShortcutALowering(),
        "conv3d": Conv3dLowering(),
        "max_pool3d": MaxPoolLowering(),
        "avg_pool3d": AvgPoolLowering(),
        **{name: ActivationLowering(name) for name in NAMES},
    }
)


def lowering_of(node: Node) -> Lowering:
    """The node's lowering. Raises ArchitectureError for an operation or activation that this backend lacks."""
    return find_lowering(LOWERINGS, node, "CPU")
