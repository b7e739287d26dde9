"""The registry: all operations and activations by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.errors import ArchitectureError
from npresnet.network import Node
from npresnet.ops import activations
from npresnet.ops.add import ADD
from npresnet.ops.attention_pool2d import ATTENTION_POOL2D
from npresnet.ops.avg_pool2d import AVG_POOL2D
from npresnet.ops.avg_pool3d import AVG_POOL3D
from npresnet.ops.batch_norm import BATCH_NORM
from npresnet.ops.broadcast_add import BROADCAST_ADD
from npresnet.ops.channel_conv1d import CHANNEL_CONV1D
from npresnet.ops.channel_max import CHANNEL_MAX
from npresnet.ops.channel_mean import CHANNEL_MEAN
from npresnet.ops.concat import CONCAT
from npresnet.ops.conv2d import CONV2D
from npresnet.ops.conv2d_max_pool2d import CONV2D_MAX_POOL2D
from npresnet.ops.conv3d import CONV3D
from npresnet.ops.evo_norm_s0 import EVO_NORM_S0
from npresnet.ops.filter_response_norm import FILTER_RESPONSE_NORM
from npresnet.ops.flatten import FLATTEN
from npresnet.ops.global_avg_pool import GLOBAL_AVG_POOL
from npresnet.ops.global_max_pool import GLOBAL_MAX_POOL
from npresnet.ops.group_norm import GROUP_NORM
from npresnet.ops.layer_norm2d import LAYER_NORM2D
from npresnet.ops.linear import LINEAR
from npresnet.ops.max_pool2d import MAX_POOL2D
from npresnet.ops.max_pool3d import MAX_POOL3D
from npresnet.ops.multiply import MULTIPLY
from npresnet.ops.pad2d import PAD2D
from npresnet.ops.prelu import PRELU
from npresnet.ops.radix_softmax import RADIX_SOFTMAX
from npresnet.ops.radix_sum import RADIX_SUM
from npresnet.ops.radix_weighted_sum import RADIX_WEIGHTED_SUM
from npresnet.ops.record import Activation, Operation
from npresnet.ops.shortcut_a import SHORTCUT_A
from npresnet.ops.slice_channels import SLICE_CHANNELS
from npresnet.ops.spatial_attention_pool import SPATIAL_ATTENTION_POOL

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        activation.name: activation
        for activation in (
            activations.RELU,
            activations.RELU6,
            activations.LEAKY_RELU,
            activations.HARD_SIGMOID,
            activations.HARD_SWISH,
            activations.SIGMOID,
            activations.SILU,
            activations.GELU,
            activations.GELU_TANH,
            activations.QUICK_GELU,
            activations.TANH,
            activations.ELU,
            activations.CELU,
            activations.SELU,
            activations.MISH,
            activations.HARD_MISH,
        )
    }
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            CONV2D,
            CONV2D_MAX_POOL2D,
            BATCH_NORM,
            GROUP_NORM,
            LAYER_NORM2D,
            FILTER_RESPONSE_NORM,
            EVO_NORM_S0,
            PRELU,
            PAD2D,
            MAX_POOL2D,
            AVG_POOL2D,
            GLOBAL_AVG_POOL,
            FLATTEN,
            LINEAR,
            ADD,
            MULTIPLY,
            SHORTCUT_A,
            CONV3D,
            MAX_POOL3D,
            AVG_POOL3D,
            GLOBAL_MAX_POOL,
            CHANNEL_CONV1D,
            BROADCAST_ADD,
            SLICE_CHANNELS,
            CONCAT,
            RADIX_SUM,
            RADIX_SOFTMAX,
            RADIX_WEIGHTED_SUM,
            CHANNEL_MEAN,
            CHANNEL_MAX,
            SPATIAL_ATTENTION_POOL,
            ATTENTION_POOL2D,
            *(activation.operation for activation in ACTIVATIONS.values()),
        )
    }
)


def operation_of(node: Node) -> Operation:
    """The record of the node's operation.

    Raises ArchitectureError for an unknown operation or activation, a wrong number of inputs, and an activation that
    the operation cannot carry.
    """
    operation = OPERATIONS.get(node.op)
    if operation is None:
        raise ArchitectureError(f"{node.name}: unknown operation {node.op!r}; supported are {', '.join(OPERATIONS)}")
    least, most = operation.inputs
    if not least <= len(node.inputs) <= most:
        expected = str(least) if least == most else f"{least} to {most}"
        raise ArchitectureError(f"{node.name}: a {node.op} expects {expected} inputs, got {len(node.inputs)}")
    if node.activation is not None and operation.monotone_only and not activation_of(node).is_monotone:
        raise ArchitectureError(f"{node.name}: a {node.op} cannot carry the activation {node.activation!r}")
    return operation


def activation_of(node: Node) -> Activation:
    """The record of the node's activation. Raises ArchitectureError if it is unknown or None."""
    activation = ACTIVATIONS.get(node.activation or "")
    if activation is None:
        known = ", ".join(ACTIVATIONS)
        raise ArchitectureError(f"{node.name}: unknown activation {node.activation!r}; supported are {known}")
    return activation
